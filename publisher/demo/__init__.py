"""`publisher demo`: the whole road in one folder that is thrown away: a broker, three devices, three releases."""
