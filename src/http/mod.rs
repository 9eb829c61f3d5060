//! The outside: what listens, and what travels over a connection.
