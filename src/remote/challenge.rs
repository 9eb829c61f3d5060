//! `WWW-Authenticate`: what the other side wants to see before it answers
//! (RFC 9110 §11.6.1; distribution, "Token Authentication").

use crate::limits;

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A token from `realm`.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// For whom they are.
        service: Option<String>,
        /// What the request needed.
        scope: Option<String>,
    },
    /// A user name and a password.
    Basic,
    /// Something this client does not speak.
    Other(String),
}

/// Reads one header, which may hold several challenges. What cannot be read is
/// passed over: a challenge that is not understood is one that is not met.
pub fn parse(header: &str) -> Vec<Challenge> {
    if header.len() > limits::REMOTE_CHALLENGE_BYTES {
        return Vec::new();
    }
    let mut rest = header;
    let mut raw: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        match (after.trim_start_matches([' ', '\t']).strip_prefix('='), raw.last_mut()) {
            (Some(behind), Some((_, parameters))) => {
                let (value, behind) = value(behind.trim_start_matches([' ', '\t']));
                parameters.push((word, value));
                rest = behind;
            }
            (Some(behind), None) => rest = behind,
            (None, _) => {
                raw.push((word, Vec::new()));
                rest = after;
            }
        }
    }
    raw.into_iter().map(|(scheme, parameters)| challenge(scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(&str, String)]) -> Challenge {
    let find = |name: &str| {
        parameters
            .iter()
            .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, v)| v.clone())
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        match find("realm") {
            Some(realm) => Challenge::Bearer { realm, service: find("service"), scope: find("scope") },
            None => Challenge::Other(scheme.to_owned()),
        }
    } else if scheme.eq_ignore_ascii_case("basic") {
        Challenge::Basic
    } else {
        Challenge::Other(scheme.to_owned())
    }
}

/// A token (RFC 9110 §5.6.2) and what follows it.
fn token(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()))
}

/// A parameter's value, quoted or not, and what follows it. Some servers leave
/// URLs unquoted, so that everything up to a comma or a space counts.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(Into::into), scope: scope.map(Into::into) }
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push""#;
        let other = |name: &str| Challenge::Other(name.into());
        for (header, challenges) in [
            (
                hub,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/alpine:pull,push"),
                )],
            ),
            (r#"Basic realm="Registry""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            (
                r#"Basic realm="a, b=\"c\"", bearer realm = "https://x/t" , Service=s"#,
                vec![Challenge::Basic, bearer("https://x/t", Some("s"), None)],
            ),
            ("Bearer realm=https://x/t?a=b,service=s", vec![bearer("https://x/t?a=b", Some("s"), None)]),
            (r#"Bearer realm="first",realm="second""#, vec![bearer("first", None, None)]),
            (r#"Bearer realm="open"#, vec![bearer("open", None, None)]),
            (r#"Bearer realm="tail\"#, vec![bearer("tail", None, None)]),
            ("Bearer", vec![other("Bearer")]),
            (r#"Bearer realm="""#, vec![other("Bearer")]),
            ("NTLM, Basic realm=x", vec![other("NTLM"), Challenge::Basic]),
            (r#"Digest qop="auth", nonce="x""#, vec![other("Digest")]),
            ("", vec![]),
            (",,, ,", vec![]),
            ("=x", vec![]),
            ("\"", vec![]),
            ("realm=\"x\"", vec![]),
        ] {
            assert_eq!(parse(header), challenges, "{header}");
        }
    }

    #[test]
    fn a_header_that_is_too_long_is_not_read() {
        assert_eq!(parse(&format!("Basic realm=\"{}\"", "x".repeat(limits::REMOTE_CHALLENGE_BYTES))), vec![]);
    }

    proptest! {
        #[test]
        fn never_panics(header in ".{0,300}", parts in proptest::collection::vec(r#"[ ,="\\a-zé]|Bearer|realm|Basic"#, 0..60)) {
            parse(&header);
            parse(&parts.concat());
        }

        #[test]
        fn a_quoted_value_comes_back(realm in "[ -~é]{1,80}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(parse(&format!("Bearer realm=\"{quoted}\"")), vec![bearer(&realm, None, None)]);
        }
    }
}
