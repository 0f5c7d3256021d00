//! How checks and policies become bytes before they are digested (rule R2).
//!
//! Proofs and rejections outlive a release of lockstep, so the bytes may depend on nothing that a release changes by
//! accident, such as `Debug`. A value is a list of fields; a field is written as `name=LENGTH:BYTES` and a line feed, in
//! the order in which the code names them. A field that is not there is left out. Durations are whole nanoseconds.

use std::time::Duration;

/// The bytes of one value, field by field.
#[derive(Debug)]
pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    /// Begins a value of this kind; two kinds never have the same bytes.
    pub(crate) fn of(kind: &str) -> Self {
        Self(Vec::new()).text("is", kind)
    }

    /// Begins a part of one, for [`Self::part`].
    pub(crate) const fn fields() -> Self {
        Self(Vec::new())
    }

    /// Fields that were written elsewhere.
    pub(crate) fn part(mut self, fields: &[u8]) -> Self {
        self.0.extend_from_slice(fields);
        self
    }

    /// A text.
    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.bytes(name, value.as_bytes())
    }

    /// A text that may be missing: missing and empty differ.
    pub(crate) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// A whole number, in decimal digits.
    pub(crate) fn number(self, name: &str, value: impl Into<u128>) -> Self {
        let digits: u128 = value.into();
        self.text(name, &digits.to_string())
    }

    /// A duration, in nanoseconds.
    pub(crate) fn duration(self, name: &str, value: Duration) -> Self {
        self.number(name, value.as_nanos())
    }

    /// Any bytes.
    pub(crate) fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(format!("={}:", value.len()).as_bytes());
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
        self
    }

    /// The bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_pass_for_another_field() {
        let one = Canonical::of("x").text("a", "1\nb=1:2").finish();
        let two = Canonical::of("x").text("a", "1").text("b", "2").finish();
        assert_ne!(one, two);
        assert_ne!(Canonical::of("x").optional("a", None).finish(), Canonical::of("x").optional("a", Some("")).finish());
    }
}
