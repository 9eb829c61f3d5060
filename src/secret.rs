//! A text that is never printed.
//!
//! Passwords, tokens and keys are held in [`Secret`]: it has no `Debug`, no
//! `Display` and no `Serialize`, so that whatever holds one has to say by hand
//! what of it may be shown; two of them are compared in a time that does not
//! tell where they differ; and its memory is wiped on drop. Reading it is a call
//! with a name that a reviewer can search for.

use subtle::ConstantTimeEq as _;

use zeroize::Zeroizing;

/// A secret text. `expose` is the only way to its content.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one line that must send or hash it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::marker::PhantomData;

    use super::*;

    /// Which traits `T` has: what the type itself says goes before [`Without`].
    struct Has<T>(PhantomData<T>);

    trait Without {
        const DEBUG: bool = false;
        const DISPLAY: bool = false;
        const SERIALIZE: bool = false;
    }

    impl<T> Without for Has<T> {}

    impl<T: Debug> Has<T> {
        const DEBUG: bool = true;
    }

    impl<T: Display> Has<T> {
        const DISPLAY: bool = true;
    }

    impl<T: serde::Serialize> Has<T> {
        const SERIALIZE: bool = true;
    }

    const _: () = {
        assert!(!Has::<Secret>::DEBUG, "a secret that can be logged by `?` is logged some day");
        assert!(!Has::<Secret>::DISPLAY, "a secret is no text of a message");
        assert!(!Has::<Secret>::SERIALIZE, "a secret is part of no answer");
        // The probe itself can tell.
        assert!(Has::<String>::DEBUG && Has::<String>::DISPLAY && Has::<String>::SERIALIZE);
    };

    #[test]
    fn secrets_are_equal_when_their_texts_are() {
        assert!(Secret::new("hunter22") == Secret::new("hunter22"));
        assert!(
            Secret::new("hunter22") != Secret::new("hunter23") && Secret::new("hunter22") != Secret::new("hunter2")
        );
        assert!(Secret::default().is_empty() && Secret::new("x").expose() == "x");
    }
}
