//! The body of every answer that is an error.

use super::wire_object;

wire_object! {
    /// Why a request was refused.
    ApiError {
        /// What is wrong.
        error: String,
        /// Whether whoever asked can do something about it.
        user_error: bool,
        /// What to do about it.
        description: String,
    }
}

impl ApiError {
    /// What is wrong and what to do, in one line; `None` when the body says neither.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let (error, description) = (self.error.trim(), self.description.trim());
        match (error.is_empty(), description.is_empty() || description == error) {
            (true, true) => None,
            (true, false) => Some(description.to_owned()),
            (false, true) => Some(error.to_owned()),
            (false, false) => Some(format!("{error} ({description})")),
        }
    }
}
