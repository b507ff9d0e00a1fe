"""Features: frames decoded no further than needed, what the frozen visual encoder sees, and the store of both."""
