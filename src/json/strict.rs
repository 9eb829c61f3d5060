//! What two readers could read two ways: members of one name, and names that
//! differ in letter case alone.
//!
//! Go's reader, which most clients of a registry have, takes `Layers` for
//! `layers`, and `layerſ` too (it folds as Unicode does), and lets the last one
//! win; it also gives up where a member of a known name has another type. So a
//! document is held against the [`Shape`] that such a reader has of it: every
//! name once, known names in their own spelling, known members of their type.
//! `null` is nothing, to Go, and passes everywhere.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};

use crate::limits;

/// What a typed reader takes.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Whatever it is.
    Any,
    /// A text.
    Text,
    /// A text that is base64, with padding.
    Base64,
    /// A whole number that a signed 64-bit one holds, from 0.
    Size,
    /// A list of these.
    List(&'static Shape),
    /// An object of texts under free names.
    Texts,
    /// An object with these members, and others that no one knows.
    Object(&'static [Field]),
}

/// A member that readers know.
#[derive(Clone, Copy, Debug)]
pub struct Field(pub &'static str, pub Shape);

/// Holds the first JSON value of `text` against `shape`.
///
/// # Errors
/// When it is no JSON, or could be read in more than one way; the words name
/// the member.
pub fn check(text: &str, shape: Shape) -> Result<(), serde_json::Error> {
    let at = Place { shape, name: Name::Root };
    at.deserialize(&mut serde_json::Deserializer::from_str(text))
}

/// A place in the document, and what is to be there.
#[derive(Clone, Copy)]
struct Place<'a> {
    shape: Shape,
    name: Name<'a>,
}

/// How a place is called.
#[derive(Clone, Copy)]
enum Name<'a> {
    Root,
    Member(&'a Name<'a>, &'a str),
    Entry(&'a Name<'a>, usize),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(&shown(name)),
            Self::Member(parent, name) => write!(f, "{parent}.{}", shown(name)),
            Self::Entry(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A stranger's text, for an error: short, and without what could move a cursor.
fn shown(text: &str) -> String {
    text.chars().take(limits::SHOWN_NAME_CHARACTERS).flat_map(char::escape_debug).collect()
}

/// The name as a reader that ignores case has it. Of all letters only `ſ` and
/// the Kelvin sign fold to a letter of a name that is known here.
fn fold(name: &str) -> String {
    let fold = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

impl Place<'_> {
    fn wrong<E: Error>(&self) -> E {
        let wanted = match self.shape {
            Shape::Any => "anything",
            Shape::Text => "a text",
            Shape::Base64 => "a text in base64",
            Shape::Size => "a whole number from 0 to 9223372036854775807",
            Shape::List(_) => "a list",
            Shape::Texts => "an object whose members are texts",
            Shape::Object(_) => "an object",
        };
        match self.name {
            Name::Root => E::custom(format_args!("it must be {wanted}")),
            name => E::custom(format_args!("`{name}` must be {wanted}")),
        }
    }

    /// Passes a value without parts, if the shape is met.
    fn leaf<E: Error>(&self, is_met: bool) -> Result<(), E> {
        if is_met || matches!(self.shape, Shape::Any) { Ok(()) } else { Err(self.wrong()) }
    }

    /// What a member of this object is to be.
    fn member<E: Error>(&self, key: &str) -> Result<Shape, E> {
        let fields = match self.shape {
            Shape::Object(fields) => fields,
            Shape::Texts => return Ok(Shape::Text),
            _ => return Ok(Shape::Any),
        };
        if let Some(Field(_, shape)) = fields.iter().find(|Field(name, _)| *name == key) {
            return Ok(*shape);
        }
        let folded = fold(key);
        match fields.iter().find(|Field(name, _)| fold(name) == folded) {
            Some(Field(meant, _)) => {
                Err(E::custom(format_args!("some clients take the key `{}` for `{meant}`; spell it so", shown(key))))
            }
            None => Ok(Shape::Any),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.leaf(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.leaf(false)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.leaf(matches!(self.shape, Shape::Size) && i64::try_from(number).is_ok())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.leaf(false)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.leaf(match self.shape {
            Shape::Text => true,
            // Go's reader passes over line ends.
            Shape::Base64 => STANDARD.decode(text.replace(['\r', '\n'], "")).is_ok(),
            _ => false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let shape = match self.shape {
            Shape::List(shape) => *shape,
            Shape::Any => Shape::Any,
            _ => return Err(self.wrong()),
        };
        let mut index = 0;
        while entries.next_element_seed(Place { shape, name: Name::Entry(&self.name, index) })?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        if !matches!(self.shape, Shape::Any | Shape::Texts | Shape::Object(_)) {
            return Err(self.wrong());
        }
        let mut seen = HashSet::new();
        while let Some(key) = members.next_key_seed(Key)? {
            let shape = self.member(&key)?;
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!("the key `{}` comes twice", shown(&key))));
            }
            members.next_value_seed(Place { shape, name: Name::Member(&self.name, &key) })?;
            seen.insert(key);
        }
        Ok(())
    }
}

/// A member's name.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &[Field] = &[Field("digest", Shape::Text), Field("size", Shape::Size), Field("data", Shape::Base64)];
    const WHOLE: Shape = Shape::Object(&[
        Field("layers", Shape::List(&Shape::Object(PART))),
        Field("kind", Shape::Text),
        Field("notes", Shape::Texts),
    ]);

    #[test]
    fn refuses_what_two_readers_read_two_ways_and_names_it() {
        for (text, words) in [
            (r#"{"layers":[],"layers":[]}"#, "the key `layers` comes twice"),
            (r#"{"LAYERS":[]}"#, "the key `LAYERS` for `layers`"),
            (r#"{"layerſ":[]}"#, "for `layers`"),
            (r#"{"layer\u017f":[]}"#, "for `layers`"),
            (r#"{"Kind":""}"#, "for `kind`"),
            ("{\"\u{212a}ind\":\"\"}", "for `kind`"),
            (r#"{"layers":[{"Digest":""}]}"#, "the key `Digest` for `digest`"),
            (r#"{"notes":{"a":"1","a":"2"}}"#, "the key `a` comes twice"),
            (r#"{"x":[{"y":{"z":1,"z":2}}]}"#, "the key `z` comes twice"),
            (r#"{"x":1,"\u0078":2}"#, "the key `x` comes twice"),
            (r#"{"a\u001b\n":1,"a\u001b\n":2}"#, r"the key `a\u{1b}\n` comes twice"),
            (r#"{"layers":{}}"#, "`layers` must be a list"),
            (r#"{"layers":[[]]}"#, "`layers[0]` must be an object"),
            (r#"{"layers":[{},{"size":-1}]}"#, "`layers[1].size` must be a whole number"),
            (r#"{"layers":[{"size":9223372036854775808}]}"#, "`layers[0].size` must be a whole number"),
            (r#"{"layers":[{"size":1.5}]}"#, "`layers[0].size` must be a whole number"),
            (r#"{"layers":[{"data":"a"}]}"#, "`layers[0].data` must be a text in base64"),
            (r#"{"kind":1}"#, "`kind` must be a text"),
            (r#"{"notes":[]}"#, "`notes` must be an object"),
            (r#"{"notes":{"a":1}}"#, "`notes.a` must be a text"),
            (r#"{"x":"\ud800"}"#, "hex escape"),
            ("[]", "it must be an object"),
        ] {
            let error = check(text, WHOLE).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
        let long = format!(r#"{{"{0}":1,"{0}":2}}"#, "x".repeat(100_000));
        assert!(check(&long, WHOLE).expect_err("twice").to_string().len() < 200);
    }

    #[test]
    fn passes_what_has_one_reading() {
        for text in [
            r#"{"layers":[{"digest":"x","size":9223372036854775807,"data":"aGk=","more":[1.5,-1,true,null]}]}"#,
            // Names that a person chose are nobody's fields.
            r#"{"notes":{"Layers":"","layers":"","KIND":"x"},"x":{"Layers":1,"layers":2}}"#,
            r#"{"layers":null,"kind":null,"notes":{"a":null}}"#,
            r#"{"kinds":1,"layer":2,"laverſ":3}"#,
            "{} and what follows",
        ] {
            check(text, WHOLE).expect(text);
        }
    }
}
