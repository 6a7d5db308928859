use super::*;

fn fails(text: &str) -> String {
    let error = parse(text).expect_err(text);
    format!("{}: {error}", error.at)
}

#[test]
fn what_modules_are_written_in_is_understood() {
    let text = r#"
# comment
terraform {
  required_version = ">= 1.6" // why not
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.0" }
    null = {
      source  : "hashicorp/null"
    }
  }
}
locals { one = 1.5e-3 }
empty "a" b {}
resource "aws_instance" "x" {
  count     = var.n > 0 && !var.off ? var.n : -1 /* inline
  comment */
  tags      = merge({ for k, v in var.tags : k => upper(v)... if v != null }, { "a-b" = 1, (var.k) = 2 }...)
  list      = [for x in var.list : x.name if x.on]
  old       = aws_instance.a.0.id
  splat     = aws_instance.a.*.id
  full      = aws_instance.a[*].id[0]["k"]
  call      = provider::aws::arn_parse(
    "a",
    (1 + 2) * 3 % 4,
  )
  text      = "a $${b} %%{c} \"q\" ${var.a}${"nested ${upper("x")}"} %{ if a ~} x %{~ else } y %{ endif } \u00fc $ %"
  doc       = <<-EOT
    ${join(",", [
      for s in var.subnets : s
    ])} \no escape "here"
    %{ for a, b in var.m ~}
    ${a}
    %{ endfor ~}
    EOT
  last      = <<EOT
EOT
  dynamic "block" {
    for_each = toset([])
    content { value = block.value }
  }
}
"#;
    let file = parse(text).expect("it is HCL");
    let kinds: Vec<_> = file.body.blocks.iter().map(|block| (block.kind, block.labels.join(" "))).collect();
    let expected = [("terraform", ""), ("locals", ""), ("empty", "a b"), ("resource", "aws_instance x")]
        .map(|(kind, labels)| (kind, labels.to_owned()));
    assert_eq!(kinds, expected);
    assert_eq!(file.body.blocks[0].body.text("required_version"), Some(">= 1.6"));
    let providers = &file.body.blocks[0].body.blocks[0].body;
    let Some(Value::Object(aws)) = providers.get("aws") else { panic!("an object") };
    assert_eq!(
        aws.iter().map(|(key, value)| (key.as_ref(), value.as_text())).collect::<Vec<_>>(),
        [("source", Some("hashicorp/aws")), ("version", Some("~> 5.0"))]
    );
    assert_eq!(file.body.blocks[3].body.arguments.len(), 10);
    assert!(parse("e\u{301}_\u{2118} = b.*.c[0].*.d\na\u{b7}b = 1\n").is_ok(), "letters with marks of their own, as macOS writes them");
    assert!(parse("\u{feff}a = 1\r\nb = <<E\r\nx\r\n E\r\nc = 2").is_ok_and(|file| file.body.arguments.len() == 3), "as Windows writes it");
}

#[test]
fn text_knows_where_it_stands() {
    let text = "module \"x\" {\n  source = \"..\\u002fü\" # why\n}\n";
    let file = parse(text).expect("it is HCL");
    let Some(Value::Text { text: source, inside }) = file.body.blocks[0].body.get("source") else { panic!("text") };
    assert_eq!((source.as_ref(), &text[inside.clone()]), ("../ü", "..\\u002fü"));
}

#[test]
fn files_reached_by_going_up_are_noticed() {
    let text = "a = file(\"${path.module}/../x.json\")\nb = \"${ path.module }/..\"\nc = \"${path.module}/..x\"\nd = \"${path.module}/../${var.x}\"\ne = \"x${path.module}y/../\"\n";
    let found = parse(text).expect("it is HCL").upward;
    let found: Vec<_> = found.iter().map(|upward| (text[..upward.at].lines().count(), upward.rest.as_str(), upward.whole)).collect();
    assert_eq!(found, [(1, "/../x.json", true), (2, "/..", true), (4, "/../", false)]);
}

#[test]
fn mistakes_have_their_place() {
    for (text, message) in [
        ("a = ", "4: expected an expression, found the end of the file"),
        ("a = 1 b = 2", "6: expected the end of the line after the argument, found 'b'"),
        ("a {\n b = 1 }", "11: expected the end of the line after the argument, found '}'"),
        ("a {", "2: this block is never closed; add the missing '}'"),
        (
            "a { b = 1\n}",
            "9: expected '}': a block of one line has one argument; begin a new line after '{' for more, found the end of the line",
        ),
        ("a \"${b}\" {}", "2: a label has nothing to evaluate in it; write plain text"),
        ("a = \"x\ny\"", "4: a quoted string ends in the line it begins in; use a heredoc (<<EOT) or \\n"),
        ("a = \"\\d\"", "5: '\\d' is no escape sequence; write \\n, \\r, \\t, \\\", \\\\, \\uNNNN or \\UNNNNNNNN, and a backslash as \\\\"),
        ("a = [1, 2", "4: this '[' is never closed; add the missing ']'"),
        ("a = <<EOT\nx\n", "4: this heredoc is never closed; add the missing line with its marker alone"),
        (
            "a = \"%{ if x }\"",
            "4: %{ if without endif } does not belong to anything before it; each if and for ends in the template it begins in",
        ),
        ("a = 1\na = 2", "6: 'a' is set a second time in the same block; remove one of the two"),
        ("}", "0: expected an argument or a block, found '}'"),
        ("a b", "3: expected a label or '{' of a block, found the end of the file"),
        ("a = x ? 1", "9: expected ':' of the conditional, found the end of the file"),
        ("a = {b}", "6: expected '=' or ':' after the key, found '}'"),
        ("/* x", "0: the comment that begins with /* is never closed; add the missing */"),
        ("a = \"x\\\ny\"", "6: a quoted string ends in the line it begins in; use a heredoc (<<EOT) or \\n"),
        ("a = b.*.c.*", "10: expected the name of an attribute after '.', found '*'"),
        ("a\u{b2} = 1", "1: expected '=' of an argument, or a label or '{' of a block, found '²'"),
        ("a = 1x", "5: expected the end of the number, found 'x'"),
    ] {
        assert_eq!(fails(text), message, "{text}");
    }
}

#[test]
fn depth_is_an_error_and_not_the_end() {
    for deep in ["[", "(", "{a=", "\"${", "f(", "a[", "x ? ", "x ? 1 : "] {
        let error = parse(&format!("a = {}", deep.repeat(50_000))).expect_err(deep);
        assert_eq!(error.problem, Problem::TooDeep(100), "{deep}");
    }
    assert_eq!(parse(&"a {\n".repeat(50_000)).expect_err("blocks").problem, Problem::TooDeep(100));
    assert!(parse(&format!("a = {}1", "-".repeat(50_000))).is_ok());
}
