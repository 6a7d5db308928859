//! States of jobs and executions by their wire names, which are those of [`crate::job`]; and, as they are sent by somebody newer, any other.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A status this build does not know, as it was written (`unknown` and the empty text among them).
            Unknown(String),
        }

        impl $name {
            /// Every known status.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl Default for $name {
            /// Not said.
            fn default() -> Self {
                Self::Unknown(String::new())
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($text,)+ "unknown"])).build().into()
            }
        }

        impl ToSchema for $name {}
    };
}

crate::job::job_statuses!(status);
crate::job::execution_statuses!(status);

impl JobStatus {
    /// Whether the job is over: no status follows, short of a retry that somebody asks for. An unknown one is not.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::TimedOut | Self::NotAttempted | Self::Cancelled => true,
            Self::Queued | Self::Available | Self::InProgress | Self::Unknown(_) => false,
        }
    }
}

impl ExecutionStatus {
    /// Whether the execution is over: no status follows. An unknown one is not.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::TimedOut | Self::NotAttempted | Self::Cancelled => true,
            Self::Pending | Self::Initializing | Self::InProgress | Self::CleaningUp | Self::Unknown(_) => false,
        }
    }

    /// The status a job ends with when its last execution ended with this one; `None` while that is not over.
    #[must_use]
    pub const fn of_job(&self) -> Option<JobStatus> {
        match self {
            Self::Finished => Some(JobStatus::Finished),
            Self::Failed => Some(JobStatus::Failed),
            Self::TimedOut => Some(JobStatus::TimedOut),
            Self::NotAttempted => Some(JobStatus::NotAttempted),
            Self::Cancelled => Some(JobStatus::Cancelled),
            Self::Pending | Self::Initializing | Self::InProgress | Self::CleaningUp | Self::Unknown(_) => None,
        }
    }
}
