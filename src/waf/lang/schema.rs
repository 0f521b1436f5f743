//! The JSON Schema of rule files, generated from the types in [`super::ast`] and the tables of
//! variables, transformations and operators. rules/schema.json is its committed text.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::ast::*;
use super::error::At;
use crate::waf::decode::{Decode, Encoding, MOST_LAYERS};
use crate::waf::variable::kind::Kind;
use crate::waf::variable::target::Target;
use crate::waf::{operator, transformation, variable};

/// A file is one of the three kinds, told by its keys.
#[derive(JsonSchema)]
#[schemars(untagged, title = "Portward rule file")]
#[allow(dead_code, reason = "only its schema is used")]
enum RuleFile {
    Rules(RuleSet),
    Exclusions(ExclusionSet),
    Setup(SetupFile),
}

/// What stands in a set's list of rules.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(super) enum Entry {
    Rule(Box<Rule>),
    Marker(MarkerEntry),
}

/// A place that `skip_after` can go to.
#[derive(JsonSchema)]
#[schemars(rename = "Marker", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(super) struct MarkerEntry {
    marker: String,
}

/// The schema as pretty JSON with a final newline.
pub fn schema() -> String {
    let schema = schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<RuleFile>();
    let mut value = serde_json::to_value(schema).unwrap_or_default();
    close(&mut value);
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

/// The three file kinds may name their schema, and nothing else that they do not know.
fn close(value: &mut serde_json::Value) {
    for kind in ["RuleSet", "ExclusionSet", "SetupFile"] {
        if let Some(object) = value.pointer_mut(&format!("/$defs/{kind}")).and_then(|v| v.as_object_mut()) {
            object.insert("additionalProperties".into(), json!(false));
            if let Some(properties) = object.get_mut("properties").and_then(|v| v.as_object_mut()) {
                properties.insert("$schema".into(), json!({ "type": "string" }));
            }
        }
    }
    if let Some(rule) = value.pointer_mut("/$defs/Rule").and_then(|v| v.as_object_mut()) {
        rule.insert("additionalProperties".into(), json!(false));
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

macro_rules! schema_of {
    ($type:ty, $name:literal, |$generator:ident| $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

schema_of!(Target, "Variable", |_generator| {
    let names: Vec<&str> = variable::names().collect();
    json_schema!({
        "type": "string",
        "description": "A variable: `name`, `name:key` or `name:/regex/`, after `!` to take values out or `&` to count them.",
        "pattern": format!("^[!&]?(?:{})(?::.+)?$", names.join("|")),
        "examples": ["args", "args:id", "!request_cookies:/^_ga/", "&request_headers:host", "xml:/*"],
    })
});

schema_of!(Named, "Transformation", |_generator| {
    let names: Vec<&str> = transformation::names().collect();
    json_schema!({ "type": "string", "enum": names })
});

schema_of!(Decode, "Decode", |_generator| {
    let names: Vec<&str> = Encoding::ALL.map(Encoding::name).to_vec();
    let depth = json!({ "type": "integer", "minimum": 1, "maximum": MOST_LAYERS });
    json_schema!({
        "anyOf": [
            depth,
            {
                "type": "object",
                "properties": {
                    "depth": depth,
                    "as": { "type": "array", "items": { "type": "string", "enum": names }, "minItems": 1 },
                },
                "required": ["depth", "as"],
                "additionalProperties": false,
            },
        ],
    })
});

schema_of!(Kind, "ValueType", |_generator| {
    let names: Vec<&str> = Kind::ALL.map(Kind::name).to_vec();
    json_schema!({ "type": "string", "enum": names })
});

schema_of!(OperatorCall, "Operator", |_generator| {
    let names: serde_json::Map<String, serde_json::Value> =
        operator::names().map(|name| (name.to_owned(), json!({}))).collect();
    json_schema!({
        "type": "object",
        "description": "One operator and its argument.",
        "properties": names,
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
});

schema_of!(IdRange, "RuleIds", |_generator| json_schema!({
    "description": "A rule id, or a range \"FIRST-LAST\".",
    "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": u32::MAX },
        { "type": "string", "pattern": "^[0-9]+(?:-[0-9]+)?$" },
    ],
}));

schema_of!(Day, "Day", |_generator| json_schema!({
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
}));

schema_of!(Example, "Example", |_generator| json_schema!({
    "description": "A request as text: `METHOD target`, header lines, an empty line, the body; or an object with `request` and `response`.",
    "anyOf": [
        { "type": "string" },
        {
            "type": "object",
            "properties": { "request": { "type": "string" }, "response": { "type": "string" } },
            "required": ["response"],
            "additionalProperties": false,
        },
    ],
}));

schema_of!(Action, "Action", |generator| {
    let ids = generator.subschema_for::<IdRange>();
    let target = generator.subschema_for::<Target>();
    let one = |name: &str, inner: serde_json::Value| {
        json!({
            "type": "object",
            "properties": { name: inner },
            "required": [name],
            "additionalProperties": false,
        })
    };
    let status = json!({ "type": "integer", "minimum": 400, "maximum": 599 });
    let deny_status = json!({ "type": "integer", "minimum": 300, "maximum": 599 });
    let redirect_status = json!({ "enum": [301, 302, 303, 307, 308] });
    let object = |properties: serde_json::Value, required: &[&str]| {
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    };
    let texts = |description: &str, pattern: &str, values: serde_json::Value| {
        json!({
            "type": "object",
            "description": description,
            "patternProperties": { pattern: values },
            "additionalProperties": false,
            "minProperties": 1,
        })
    };
    let number_or_text = json!({ "type": ["integer", "string"] });
    json_schema!({
        "anyOf": [
            { "enum": ["score", "block", "drop", "allow", "log", "no_log", "force_request_body_variable"] },
            one("score", json!({ "type": "integer", "minimum": 0, "maximum": 1000 })),
            one("deny", object(json!({ "status": deny_status }), &["status"])),
            one("redirect", object(json!({ "status": redirect_status, "location": { "type": "string" } }), &["location"])),
            one("allow", json!({ "enum": ["exchange", "phase", "request"] })),
            one("set", texts(
                "`tx.NAME`, or `ip.NAME` of a persistent collection, to a text, a number, \"+n\" and \"-n\" to count, or null to take it away.",
                "^(?:tx|ip|session|user|resource|global)\\..+$",
                json!({ "type": ["string", "integer", "null"] }),
            )),
            one("expire", texts(
                "Seconds after which variables of persistent collections go.",
                "^(?:ip|session|user|resource|global)\\..+$",
                number_or_text,
            )),
            one("init_collection", texts(
                "Kept collections to open, with their keys.",
                "^(?:ip|session|user|resource|global)$",
                json!({ "type": "string" }),
            )),
            one("rate_limit", object(
                json!({
                    "key": { "type": "string" },
                    "requests": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
                    "seconds": { "type": "integer", "minimum": 1, "maximum": 86_400 },
                    "status": status,
                }),
                &["key", "requests", "seconds"],
            )),
            one("strip_request_header", json!({ "type": "string" })),
            one("strip_response_header", json!({ "type": "string" })),
            one("exclude", object(
                json!({
                    "rules": { "type": "array", "items": ids },
                    "tags": { "type": "array", "items": { "type": "string" } },
                    "variables": { "type": "array", "items": target },
                }),
                &[],
            )),
            one("engine", json!({ "enum": ["block", "detect", "off"] })),
            one("body_processor", json!({ "enum": ["urlencoded", "multipart", "json", "xml"] })),
            one("request_body_access", json!({ "type": "boolean" })),
            one("response_body_access", json!({ "type": "boolean" })),
            one("skip", json!({ "type": "integer", "minimum": 1, "maximum": 10_000 })),
            one("skip_after", json!({ "type": "string" })),
        ],
    })
});
