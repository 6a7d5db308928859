//! One declaration per plan object gives the struct, its decoder and its JSON Schema, so that the three cannot drift apart.

/// A closed set of words.
macro_rules! choice {
    ($(#[doc = $doc:expr])+ $name:ident is $what:literal { $($(#[doc = $vdoc:expr])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in a plan.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::plan::values::Decode for $name {
            const WHAT: &'static str = $what;

            fn decode(node: &$crate::yaml::Node, r: &mut $crate::plan::reader::Reader<'_>) -> Option<Self> {
                $crate::plan::macros::one_of(node, r, $what, Self::ALL, Self::as_str)
            }

            fn is_blank(node: &$crate::yaml::Node) -> bool {
                <String as $crate::plan::values::Decode>::is_blank(node)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "description": $crate::plan::schema::description(&[$($doc),+]), "enum": [$($text),+] })
            }
        }
    };
}
pub(crate) use choice;

/// An object with named fields: `field: Type = ["Documented", "alias"] or default,`. `check` names a function that looks at the whole.
/// `blank` says that Go sends an object of nothing but empty fields for one that is not there.
macro_rules! object {
    (
        $(#[doc = $doc:expr])+
        $(#[derive($($derive:ident),+)])?
        pub struct $name:ident {
            $($(#[doc = $fdoc:expr])+ $field:ident: $type:ty = [$wire:literal $(, $alias:literal)*] $(or $default:expr)?,)+
        }
        $(check $check:path;)?
        $(blank $blank:literal;)?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq $(, $($derive),+)?)]
        pub struct $name {
            $($(#[doc = $fdoc])+ pub $field: $type,)+
        }

        impl $name {
            /// Every key, each with all its spellings.
            pub(crate) const FIELDS: $crate::plan::values::Fields = &[$(&[$wire $(, $alias)*],)+];
        }

        impl $crate::plan::values::Decode for $name {
            const WHAT: &'static str = "an object";

            fn decode(node: &$crate::yaml::Node, r: &mut $crate::plan::reader::Reader<'_>) -> Option<Self> {
                let object = r.object(node, Self::FIELDS)?;
                // All fields are read before the first mistake counts, so that all mistakes are reported.
                $(let $field: Option<$type> = $crate::plan::macros::field!(object, r, $wire $(, $default)?);)+
                let value = Self { $($field: $field?,)+ };
                $($check(&value, &object, r);)?
                Some(value)
            }

            $(fn is_blank(node: &$crate::yaml::Node) -> bool {
                $blank && $crate::plan::macros::all_blank(node)
            })?
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = $crate::plan::schema::ObjectSchema::new(&[$($doc),+]);
                $(schema.property::<$type>(
                    generator,
                    &[$wire $(, $alias)*],
                    &[$($fdoc),+],
                    $crate::plan::macros::has_default!($($default)?),
                );)+
                schema.finish()
            }
        }
    };
}
pub(crate) use object;

macro_rules! field {
    ($object:ident, $r:ident, $wire:literal) => {
        $object.field($r, $wire)
    };
    ($object:ident, $r:ident, $wire:literal, $default:expr) => {
        $object.field_or($r, $wire, $default)
    };
}
pub(crate) use field;

macro_rules! has_default {
    () => {
        false
    };
    ($default:expr) => {
        true
    };
}
pub(crate) use has_default;

use crate::yaml::{Kind, Node};

use super::{Defect, problem::nearest, reader::Reader, syntax::shown};

/// The value of `all` that `node` names.
pub(crate) fn one_of<T: Copy>(
    node: &Node,
    r: &mut Reader<'_>,
    what: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Option<T> {
    let Kind::String(text) = &node.kind else {
        r.wrong_type(node, "a string");
        return None;
    };
    let found = all.iter().copied().find(|&value| name(value) == text);
    if found.is_none() {
        let allowed: Vec<_> = all.iter().map(|&value| name(value)).collect();
        let nearest = nearest(text, allowed.iter().copied()).map(str::to_owned);
        r.report(node.at, Defect::NotOneOf { value: shown(text), what, nearest, allowed });
    }
    found
}

/// Whether there is nothing in `node` but nulls, empty text and false.
pub(crate) fn all_blank(node: &Node) -> bool {
    match &node.kind {
        Kind::Null | Kind::Bool(false) => true,
        Kind::String(text) => text.is_empty(),
        Kind::Mapping(entries) => entries.iter().all(|entry| all_blank(&entry.value)),
        Kind::Bool(true) | Kind::Number(..) | Kind::Sequence(_) => false,
    }
}
