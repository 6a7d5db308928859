//! What SQLite's errors mean to the control plane.

use std::borrow::Cow;

use super::super::Error;

/// Primary result codes, <https://www.sqlite.org/rescode.html>.
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOT_A_DATABASE: i32 = 26;
/// The wal-index cannot grow: the disk is full as well.
const IOERR_SHMSIZE: i32 = 4874;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match code(database.code()) {
                IOERR_SHMSIZE => Self::Full,
                extended => match extended & 0xff {
                    FULL => Self::Full,
                    CORRUPT | NOT_A_DATABASE => Self::Damaged("database"),
                    _ => Self::Unavailable(error),
                },
            },
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Self::Full,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Self::Damaged("row")
            }
            sqlx::Error::PoolClosed => Self::Closed,
            _ => Self::Unavailable(error),
        }
    }
}

fn code(text: Option<Cow<'_, str>>) -> i32 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the transaction that met this error is spoilt: a refusal of ours has written nothing, everything else has to be rolled back.
pub(super) fn spoils(error: &Error) -> bool {
    matches!(error, Error::Full | Error::Unavailable(_) | Error::Damaged(_) | Error::Closed)
}
