"""The live view of jobs in a terminal; its screens need textual, the plain table does not."""
