//! How single values are written: nanoseconds, and zero as absent.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// `null` is as good as absent.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Whether a field is left out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A length of time as whole nanoseconds (`time.Duration` of Go). Zero stands for "not said".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub Duration);

impl Nanos {
    /// The length; `None` when the other side did not say.
    #[must_use]
    pub fn said(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 292 years are enough; Go's type ends there as well.
        serializer.serialize_i64(i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A negative length is a clock that jumped; it says as much as none.
        let nanos = i64::deserialize(deserializer)?;
        Ok(Self(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))))
    }
}

impl PartialSchema for Nanos {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .description(Some("A length of time in nanoseconds."))
            .build()
            .into()
    }
}

impl ToSchema for Nanos {
    fn name() -> std::borrow::Cow<'static, str> {
        "Nanoseconds".into()
    }
}
