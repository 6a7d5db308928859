//! HCL's native syntax (hashicorp/hcl, `hclsyntax/spec.md`), as far as a packer of modules has to know it.
//!
//! In: the text of a `.tf` file. Out: its blocks and arguments with their places in the text; of expressions only what a packer asks for –
//! plain text, objects of such – and where templates begin with `${path.module}`. Invariants: whatever OpenTofu refuses for its syntax is
//! refused here, with its place; nothing is evaluated; nesting is bounded, so no text exhausts the stack.
//!
//! Written by hand because text has to be replaced in place, byte for byte, and because input that nests a thousand times must be an error
//! and not the end of the process. Called by [`super::config`].

mod cursor;
mod expression;
mod structure;
mod template;

use std::{borrow::Cow, ops::Range};

pub(crate) use structure::parse;

/// Arguments and blocks, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    pub(crate) arguments: Vec<Argument<'a>>,
    pub(crate) blocks: Vec<Block<'a>>,
}

/// `name = value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Value<'a>,
}

/// `kind "label" { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub(crate) kind: &'a str,
    pub(crate) labels: Vec<Cow<'a, str>>,
    pub(crate) body: Body<'a>,
    /// Offset of its first byte.
    pub(crate) at: usize,
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A quoted string without anything to evaluate; `inside` is what stands between the quotes.
    Text { text: Cow<'a, str>, inside: Range<usize> },
    /// A word that is no call and has nothing attached: `true`, `string`, a key.
    Word(&'a str),
    /// `{ key = value }`; keys that are computed are left out.
    Object(Vec<(Cow<'a, str>, Self)>),
    /// Anything else.
    Other,
}

/// A template that begins with the module's own folder and goes up from it: `"${path.module}/../x"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upward {
    /// Offset of the template.
    pub(crate) at: usize,
    /// What follows `${path.module}`, up to the next thing that is evaluated.
    pub(crate) rest: String,
    /// Whether nothing follows `rest`.
    pub(crate) whole: bool,
}

/// A parsed file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct File<'a> {
    pub(crate) body: Body<'a>,
    pub(crate) upward: Vec<Upward>,
    /// Where its comments are, in their order.
    pub(crate) comments: Vec<Range<usize>>,
}

/// Text that is not HCL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct SyntaxError {
    /// Offset of what is wrong.
    pub(crate) at: usize,
    pub(crate) problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("expected {what}, found {found}")]
    Expected { what: &'static str, found: String },
    #[error("{what} is never closed; add the missing {close}")]
    Unclosed { what: &'static str, close: &'static str },
    #[error("a quoted string ends in the line it begins in; use a heredoc (<<EOT) or \\n")]
    LineBreak,
    #[error("'\\{0}' is no escape sequence; write \\n, \\r, \\t, \\\", \\\\, \\uNNNN or \\UNNNNNNNN, and a backslash as \\\\")]
    Escape(char),
    #[error("a label has nothing to evaluate in it; write plain text")]
    Label,
    #[error("%{{ {0} }} does not belong to anything before it; each if and for ends in the template it begins in")]
    Directive(String),
    #[error("'{0}' is set a second time in the same block; remove one of the two")]
    Twice(String),
    #[error("more than {0} levels of nesting; take the expression apart")]
    TooDeep(u32),
}

impl Body<'_> {
    /// The value of an argument.
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'_>> {
        self.arguments.iter().find(|argument| argument.name == name).map(|argument| &argument.value)
    }

    /// The text of an argument.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }
}

impl Value<'_> {
    /// The text, when it is nothing but text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
