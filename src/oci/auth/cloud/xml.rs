//! The text of an element in an answer of AWS's query API: flat, known documents without attributes, where the first element of a
//! name is the one that is meant. Not a parser of XML.

/// Text of the first `<name>` element that holds no other element, entities resolved.
pub(super) fn text(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    if text.contains('<') {
        return None;
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&#39;", "'");
    Some(text.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn finds_texts_and_refuses_trees() {
        let body = "<A><B> x&amp;lt; </B><C><D/></C></A>";
        assert_eq!(super::text(body, "B").as_deref(), Some(" x&lt; "));
        assert_eq!((super::text(body, "A"), super::text(body, "E"), super::text("<A>x", "A")), (None, None, None));
    }
}
