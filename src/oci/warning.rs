//! `Warning` (distribution specification 1.1, "Warnings"): `299 - "text"`, with
//! no date, and at most 4096 bytes in all warnings of an answer.

/// Longest text that is written into one, in characters.
const CHARACTERS: usize = 512;

/// A header that says `text`: what is not plain ASCII is left out, since a
/// header cannot carry it.
pub fn header(text: &str) -> String {
    let mut value = String::from("299 - \"");
    for c in text.chars().filter(|c| matches!(c, ' '..='~')).take(CHARACTERS) {
        if matches!(c, '"' | '\\') {
            value.push('\\');
        }
        value.push(c);
    }
    value.push('"');
    value
}

/// The text of a header; `None` for anything but a warning of the
/// specification's form.
pub fn text(header: &str) -> Option<String> {
    let quoted = header.trim().strip_prefix("299 - \"")?;
    let (mut text, mut rest) = (String::new(), quoted.chars());
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => text.push(rest.next()?),
            c => text.push(c),
        }
    }
    rest.as_str().is_empty().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_read_as_it_was_written() {
        for said in ["", "2 of 3 are not here", r#"a "quoted" \ word"#] {
            assert_eq!(text(&header(said)).as_deref(), Some(said));
        }
        assert_eq!(header(r#"a "b""#), r#"299 - "a \"b\"""#);
        assert_eq!(header("a\r\nb é"), r#"299 - "ab ""#);
        assert!(header(&"x".repeat(10_000)).len() < 4_096);
        for none in ["", "299 -", "299 - x", r#"199 - "x""#, r#"299 - "x"#, r#"299 - "x" "date""#, r#"299 - "x\"#] {
            assert_eq!(text(none), None, "{none}");
        }
    }
}
