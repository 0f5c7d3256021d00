//! A JSON array cut into its elements as it arrives, so that an environment of any size is read in little memory.

/// Bytes of the longest element: a value of Consul's default limit as base64 is 0.7 MB, and servers may allow more.
const LONGEST_ELEMENT: usize = 16 << 20;

/// Takes the pieces of a body and gives out each element of the array in it.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// The part of the current element that came with earlier pieces.
    element: Vec<u8>,
    place: Place,
}

/// Where in the body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before the array.
    #[default]
    Before,
    /// In the array, between elements.
    Between,
    /// In an element, this deep.
    Inside { depth: u32 },
    /// In a string of an element.
    Text { depth: u32, escaped: bool },
    /// After the array.
    After,
}

impl Elements {
    /// Takes one piece. An error from `each`, or a body that is no array of objects, ends the read.
    pub(super) fn push(&mut self, piece: &[u8], each: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        // Where the current element goes on in this piece.
        let mut start = 0;
        for (at, &byte) in piece.iter().enumerate() {
            self.place = match (self.place, byte) {
                (Place::Text { depth, escaped: false }, b'\\') => Place::Text { depth, escaped: true },
                (Place::Text { depth, escaped: false }, b'"') => Place::Inside { depth },
                (Place::Text { depth, .. }, _) | (Place::Inside { depth }, b'"') => Place::Text { depth, escaped: false },
                (Place::Inside { depth }, b'{') => Place::Inside { depth: depth.saturating_add(1) },
                (Place::Inside { depth: 1 }, b'}') => {
                    self.give(&piece[start..=at], each)?;
                    Place::Between
                }
                (Place::Inside { depth }, b'}') => Place::Inside { depth: depth - 1 },
                (Place::Between, b'{') => {
                    start = at;
                    Place::Inside { depth: 1 }
                }
                (Place::Before, b'[') => Place::Between,
                (Place::Between, b']') => Place::After,
                (Place::Inside { .. }, _) | (Place::Between, b',') | (_, b' ' | b'\n' | b'\r' | b'\t') => self.place,
                _ => return Err("the answer is no JSON array of objects".into()),
            };
        }
        if matches!(self.place, Place::Inside { .. } | Place::Text { .. }) {
            self.element.extend_from_slice(&piece[start..]);
            if self.element.len() > LONGEST_ELEMENT {
                return Err(format!("one key's entry is longer than {LONGEST_ELEMENT} bytes"));
            }
        }
        Ok(())
    }

    /// Says that the body has ended: a body that was cut off is no answer.
    pub(super) fn finish(&self) -> Result<(), String> {
        if self.place == Place::After { Ok(()) } else { Err("the answer was cut off".into()) }
    }

    fn give(&mut self, end: &[u8], each: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        if self.element.is_empty() {
            return each(end);
        }
        self.element.extend_from_slice(end);
        each(&self.element)?;
        self.element.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(body: &[u8], piece: usize) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut elements = Elements::default();
        for piece in body.chunks(piece) {
            elements.push(piece, &mut |element| {
                found.push(String::from_utf8_lossy(element).into_owned());
                Ok(())
            })?;
        }
        elements.finish().map(|()| found)
    }

    #[test]
    fn elements_come_out_whole_however_the_body_is_cut() {
        let body = r#" [ {"a":"}{][\\\"","b":{"c":[1,{}]}} ,
            {"d":"ü\\"},{}]
        "#;
        for piece in 1..body.len() {
            assert_eq!(
                elements(body.as_bytes(), piece).unwrap(),
                [r#"{"a":"}{][\\\"","b":{"c":[1,{}]}}"#, r#"{"d":"ü\\"}"#, "{}"],
                "in pieces of {piece}"
            );
        }
        assert_eq!(elements(b"[]", 1).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_whole_array_is_refused() {
        for bad in ["", "[", "[{}", "[{\"a\":1", "{}", "null", "[1]", "[]]", "[] x", "<html>"] {
            assert!(elements(bad.as_bytes(), 3).is_err(), "{bad:?} was accepted");
        }
    }
}
