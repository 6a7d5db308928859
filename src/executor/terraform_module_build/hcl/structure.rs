//! Bodies: arguments and blocks.

use std::collections::BTreeSet;

use super::{Argument, Block, Body, File, Problem, SyntaxError, Value, cursor::Cursor};

/// Parses a whole file.
pub(crate) fn parse(text: &str) -> Result<File<'_>, SyntaxError> {
    let mut cursor = Cursor::new(text);
    let body = body(&mut cursor)?;
    if !cursor.is_done() {
        return Err(cursor.expected("an argument or a block"));
    }
    Ok(File { body, upward: cursor.upward, comments: cursor.comments })
}

/// Everything up to a closing brace or the end of the file, which stays.
fn body<'a>(c: &mut Cursor<'a>) -> Result<Body<'a>, SyntaxError> {
    let mut body = Body::default();
    let mut names = BTreeSet::new();
    loop {
        c.skip_lines()?;
        if c.is_done() || c.starts_with("}") {
            return Ok(body);
        }
        let at = c.at;
        let Some(name) = c.name() else { return Err(c.expected("an argument or a block")) };
        c.skip()?;
        if c.starts_with("=") && !c.starts_with("==") {
            if !names.insert(name) {
                return Err(SyntaxError { at, problem: Problem::Twice(name.to_owned()) });
            }
            body.arguments.push(argument(c, name)?);
            end_of_line(c, "the end of the line after the argument")?;
        } else {
            body.blocks.push(block(c, name, at)?);
            end_of_line(c, "the end of the line after the block")?;
        }
    }
}

fn argument<'a>(c: &mut Cursor<'a>, name: &'a str) -> Result<Argument<'a>, SyntaxError> {
    c.expect("=", "'='")?;
    let value = c.nested(false, Cursor::expression)?;
    Ok(Argument { name, value })
}

fn end_of_line(c: &mut Cursor<'_>, what: &'static str) -> Result<(), SyntaxError> {
    c.skip()?;
    if c.is_done() || c.at_newline() { Ok(()) } else { Err(c.expected(what)) }
}

fn block<'a>(c: &mut Cursor<'a>, kind: &'a str, at: usize) -> Result<Block<'a>, SyntaxError> {
    let mut labels = Vec::new();
    loop {
        c.skip()?;
        let open = c.at;
        if c.eat("{") {
            let body = c.nested(false, |c| block_body(c, open))?;
            return Ok(Block { kind, labels, body, at });
        }
        if c.starts_with("\"") {
            match c.quoted()? {
                Value::Text { text, .. } => labels.push(text),
                _ => return Err(SyntaxError { at: open, problem: Problem::Label }),
            }
        } else if let Some(name) = c.name() {
            labels.push(name.into());
        } else {
            let what = if labels.is_empty() { "'=' of an argument, or a label or '{' of a block" } else { "a label or '{' of a block" };
            return Err(c.expected(what));
        }
    }
}

/// What follows the opening brace at `open`, the closing one included.
fn block_body<'a>(c: &mut Cursor<'a>, open: usize) -> Result<Body<'a>, SyntaxError> {
    c.skip()?;
    let one_line = !(c.is_done() || c.at_newline() || c.starts_with("}"));
    let inner = if one_line {
        let Some(name) = c.name() else { return Err(c.expected("an argument or '}'")) };
        c.skip()?;
        if !c.starts_with("=") || c.starts_with("==") {
            return Err(c.expected("'=': a block of one line has one argument and no blocks"));
        }
        let argument = argument(c, name)?;
        c.skip()?;
        Body { arguments: vec![argument], blocks: Vec::new() }
    } else {
        body(c)?
    };
    if c.eat("}") {
        Ok(inner)
    } else if c.is_done() {
        Err(c.unclosed(open, "this block", "'}'"))
    } else {
        Err(c.expected("'}': a block of one line has one argument; begin a new line after '{' for more"))
    }
}
