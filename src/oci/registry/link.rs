//! `Link` headers (RFC 8288, section 3), by which lists say where their next page is. Pure; called for lists of tags and of referrers.

use crate::oci::quoted;

/// The target of the first link whose relation is `next`, out of one header.
///
/// A target may have commas and semicolons in it, and so may a quoted parameter: neither ends anything there.
pub(super) fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((target, after)) = rest.trim_start_matches([' ', '\t', ',']).strip_prefix('<')?.split_once('>') {
        let (is_next, after) = parameters(after);
        if is_next {
            return Some(target.trim());
        }
        rest = after;
    }
    None
}

/// Whether the parameters of a link say `rel=next`, and what follows the link.
fn parameters(text: &str) -> (bool, &str) {
    let (mut rest, mut relations) = (text.trim_start(), None);
    while let Some(parameter) = rest.strip_prefix(';') {
        let end = parameter.find([';', ',', '=']).unwrap_or(parameter.len());
        let (name, after) = parameter.split_at(end);
        let (value, after) = after.strip_prefix('=').map_or((String::new(), after), value);
        // Of several the first counts (section 3.3).
        if name.trim().eq_ignore_ascii_case("rel") {
            relations.get_or_insert(value);
        }
        rest = after.trim_start();
    }
    let is_next = relations.is_some_and(|relations: String| relations.split_whitespace().any(|one| one.eq_ignore_ascii_case("next")));
    (is_next, rest)
}

/// A token or quoted string, and what follows it.
fn value(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let Some(opened) = text.strip_prefix('"') else {
        let (token, after) = text.split_at(text.find([';', ',']).unwrap_or(text.len()));
        return (token.trim().to_owned(), after);
    };
    quoted::string(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, target) in [
            (r#"</v2/a/tags/list?last=x&n=2>; rel="next""#, "/v2/a/tags/list?last=x&n=2"),
            (r#"<a>; rel="prev", <b>; type=x; REL=next"#, "b"),
            ("<b?x=1,2;y=3>;rel=next", "b?x=1,2;y=3"),
            (r#"<a?l=1,2>; rel=last; title="a, <c>; rel=next \" b", <b?last=v1,v2>; rel="Last NEXT""#, "b?last=v1,v2"),
            (" , <a>, < b > ; title* = UTF-8'en'x ; rel = next", "b"),
            ("<b>; crossorigin; rel=next", "b"),
        ] {
            assert_eq!(next(header), Some(target), "{header}");
        }
        for none in ["", "<a>", r#"<a>; rel="last""#, "a; rel=next", "<a; rel=next", "<a>; rel=last; rel=next", r#"<a>; title="; rel=next"#]
        {
            assert_eq!(next(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_survived(header in "[<>;,=\" \\\\a-c]{0,60}") {
            let _ = next(&header);
        }
    }
}
