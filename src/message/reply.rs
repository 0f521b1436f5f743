//! Every response that we author.
