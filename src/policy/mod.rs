//! Pure decisions: who may go where, and what is inspected.
