"""`publisher demo`: a broker, three devices and three releases in one folder."""
