//! How values and states are written for people.
