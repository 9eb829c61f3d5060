//! A JSON value into the fields of a request, with words that a person can
//! act on: which field, what it takes, what it was given.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::ApiError;

/// A `T` inside a request, from an object alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Form<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(&Value::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

/// Reads a body that is an object.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    object(value).map_err(|why| ApiError::Json(if value.is_object() { why } else { format!("it {why}") }))
}

/// Reads a body that is a list of objects.
pub(super) fn read_list<T: DeserializeOwned>(value: &Value) -> Result<Vec<T>, ApiError> {
    let forms = Vec::<Form<T>>::deserialize(value).map_err(|error| ApiError::Json(format!("it {}", words(&error))))?;
    Ok(forms.into_iter().map(|Form(form)| form).collect())
}

/// A structure from an object: serde would take a list of its fields as well.
fn object<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    if value.is_object() { fields(value) } else { Err(format!("takes an object, not {}", kind(value))) }
}

/// Reads a value; when that fails, says which member is to blame.
fn fields<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| {
        let members = value.as_object().into_iter().flatten();
        let mut blamed = members.filter_map(|(name, member)| {
            let alone = Value::Object([(name.clone(), member.clone())].into_iter().collect());
            Some(format!("`{name}` {}", words(&T::deserialize(&alone).err()?)))
        });
        blamed.next().unwrap_or_else(|| words(&error))
    })
}

/// serde's words, without the value (it may be a secret) and without the names
/// of types.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let told = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    let Some((found, wanted)) = told.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return text;
    };
    let found = match found.split([' ', '`']).next().unwrap_or_default() {
        "boolean" => "true or false",
        "integer" | "floating" | "number" => "a number",
        "string" => "a text",
        "sequence" => "a list",
        "map" => "an object",
        other => other,
    };
    let wanted = match wanted {
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        other => other,
    };
    format!("takes {wanted}, not {found}")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::secret::Secret;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        values: Option<Vec<String>>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Outer {
        name: Option<String>,
        count: Option<u64>,
        on: Option<bool>,
        secret: Option<Secret>,
        rules: Option<Vec<Form<Inner>>>,
    }

    #[test]
    fn a_refusal_names_the_field_and_what_it_takes() {
        for (value, words) in [
            (json!([]), "it takes an object, not a list"),
            (json!([true]), "it takes an object, not a list"),
            (json!(null), "it takes an object, not null"),
            (json!("x"), "it takes an object, not a text"),
            (json!({ "name": 1 }), "`name` takes a text, not a number"),
            (json!({ "name": "x", "on": "yes", "other": 1 }), "`on` takes true or false, not a text"),
            (json!({ "count": "x" }), "`count` takes a whole number that is not negative, not a text"),
            (json!({ "secret": 12345678 }), "`secret` takes a text, not a number"),
            (json!({ "rules": {} }), "`rules` takes a list, not an object"),
            (json!({ "rules": [["x"]] }), "`rules` takes an object, not a list"),
            (json!({ "rules": [{ "values": "x" }] }), "`rules` `values` takes a list, not a text"),
            (json!({ "rules": [{ "values": [1] }] }), "`rules` `values` takes a text, not a number"),
        ] {
            match read::<Outer>(&value) {
                Err(ApiError::Json(found)) => assert_eq!(found, words, "{value}"),
                other => panic!("{value}: {:?}", other.err()),
            }
        }
        let read: Outer = read(&json!({ "rules": [{ "values": null, "x": 1 }], "name": null })).expect("taken");
        assert!(read.rules.is_some_and(|rules| rules[0].0.values.is_none()) && read.name.is_none());
        assert!(matches!(read_list::<Inner>(&json!([["x"]])), Err(ApiError::Json(why)) if why.contains("an object")));
        assert!(
            matches!(read_list::<Inner>(&json!({})), Err(ApiError::Json(why)) if why == "it takes a list, not an object")
        );
        assert_eq!(read_list::<Inner>(&json!([{}])).expect("taken").len(), 1);
        assert!(read.count.is_none() && read.on.is_none() && read.secret.is_none());
    }
}
