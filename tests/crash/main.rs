//! Death, and what is there afterwards.
