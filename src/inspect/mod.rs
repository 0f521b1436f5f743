//! The one place that knows both HTTP messages and the rule engine.
