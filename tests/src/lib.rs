//! Integration tests and stress programs for nostale.
