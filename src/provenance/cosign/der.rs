//! DER (ITU-T X.690), as much of it as certificates and timestamps need: one element after the other, and what is inside.
//!
//! Nothing is copied and nothing recurses, so hostile input costs at most its own length.

/// Tags that are asked for by name.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;

/// Context-specific tag `[n]` that holds other elements.
pub(super) const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// Context-specific tag `[n]` that holds a value.
pub(super) const fn implicit(number: u8) -> u8 {
    0x80 | number
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element; `None` at the end and where there is no DER.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let [tag, first, ..] = *self.0 else { return None };
        if tag & 0x1f == 0x1f {
            // Tags of several bytes: nobody here uses them.
            return None;
        }
        let (length, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let bytes = self.0.get(2..2 + count)?;
                let length = bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                // Shorter forms have to be used where they can be.
                let minimal = length > 0x7f && bytes.first() != Some(&0);
                (Some(length).filter(|_| minimal)?, 2 + count)
            }
            _ => return None,
        };
        let end = header.checked_add(length)?;
        let whole = self.0.get(..end)?;
        self.0 = &self.0[end..];
        Some(Element { tag, content: &whole[header..], whole })
    }

    /// The next element, if it has that tag; nothing is read otherwise.
    pub(super) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// The inside of the next element, if it has that tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(|element| Self(element.content))
    }
}

/// The only element of `bytes`, if it has that tag.
pub(super) fn only(bytes: &[u8], tag: u8) -> Option<Element<'_>> {
    let mut reader = Reader::new(bytes);
    let element = reader.take(tag)?;
    reader.is_empty().then_some(element)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_are_read_one_after_the_other() {
        let mut reader = Reader::new(&[0x30, 3, 2, 1, 5, 4, 0]);
        let mut inside = reader.enter(SEQUENCE).expect("a sequence");
        assert_eq!(inside.take(OCTET_STRING), None);
        assert_eq!(inside.take(INTEGER).map(|element| element.content), Some([5].as_slice()));
        assert!(inside.is_empty());
        assert_eq!(reader.next().map(|element| element.whole), Some([4, 0].as_slice()));
        let long = [&[4, 0x81, 0x80][..], &[7; 128]].concat();
        assert_eq!(only(&long, OCTET_STRING).map(|element| element.content.len()), Some(128));
        for bad in [
            &[4][..],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x81, 5, 1, 2, 3, 4, 5],
            &[4, 0x82, 0, 0x80],
            &[0x1f, 1, 1],
            &[4, 0x85, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(Reader::new(bad).next(), None, "{bad:?}");
        }
        assert_eq!(only(&[4, 0, 0], OCTET_STRING), None, "something behind it");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while let Some(element) = reader.next() {
                prop_assert!(element.whole.ends_with(element.content) && element.whole.len() >= 2);
            }
        }
    }
}
