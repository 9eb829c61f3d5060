//! Where a `Location`, a `Link` or a realm leads, seen from the request that
//! was answered with it (RFC 3986 §5.2).

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Origin, Scheme};

/// What stays as it is in a query's value (RFC 3986 §2.3).
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The absolute URI of `reference`, relative to `base`; `None` when it leads
/// nowhere this client goes (another scheme, a user in it, a bad host).
///
/// A proxy that ends TLS often leaves its registry writing `http://` in front
/// of its own name; such a reference to the same host is read as the origin
/// that was asked, which is never less safe.
pub(super) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.trim();
    let reference = reference.split_once('#').map_or(reference, |(before, _)| before);
    let home = Origin::of(base)?;
    let base_path = base.path();
    let text = if let Some(rest) = reference.strip_prefix("//") {
        format!("{}://{rest}", home.scheme().as_str())
    } else if has_scheme(reference) {
        reference.to_owned()
    } else if reference.is_empty() {
        format!("{home}{}", base.path_and_query().map_or("/", |both| both.as_str()))
    } else if reference.starts_with('?') {
        format!("{home}{base_path}{reference}")
    } else {
        let (path, query) = split_query(reference);
        let folder = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
        let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}{path}") };
        format!("{home}{}{query}", without_dots(&whole))
    };
    let there: Uri = text.parse().ok()?;
    let origin = Origin::of(&there)?;
    let same_host = origin.host() == home.host() && (origin.port() == 80 || origin.port() == home.port());
    if home.scheme() == Scheme::Https && origin.scheme() == Scheme::Http && same_host {
        return format!("{home}{}", there.path_and_query().map_or("/", |both| both.as_str())).parse().ok();
    }
    Some(there)
}

/// `uri` with more parameters behind the ones it has.
pub(super) fn with_query(uri: &Uri, parameters: &[(&str, &str)]) -> Option<Uri> {
    let mut text = uri.to_string();
    for (name, value) in parameters {
        let last = text.chars().next_back();
        text.push_str(match (text.contains('?'), last) {
            (false, _) => "?",
            (true, Some('?' | '&')) => "",
            (true, _) => "&",
        });
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, VALUE));
    }
    text.parse().ok()
}

/// The target of `rel="next"` in a `Link` header (RFC 8288 §3).
pub(super) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, behind) = after.split_once('>')?;
        let parameters = behind.split_once('<').map_or(behind, |(mine, _)| mine);
        let is_next = parameters.split(';').any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value.trim_matches([' ', ',', '"']).split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
            })
        });
        if is_next {
            return Some(target);
        }
        rest = behind;
    }
    None
}

fn has_scheme(reference: &str) -> bool {
    let end = reference.find(['/', '?']).unwrap_or(reference.len());
    reference[..end].contains(':')
}

fn split_query(reference: &str) -> (&str, &str) {
    reference.split_at(reference.find('?').unwrap_or(reference.len()))
}

/// RFC 3986 §5.2.4, on a path that begins with `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    if matches!(path.rsplit('/').next(), Some("." | "..")) {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_where_it_says() {
        let base: Uri = "https://r.example:5000/v2/a/b/blobs/uploads/?x=1".parse().expect("a URI");
        for (reference, target) in [
            ("/v2/a/b/blobs/uploads/1?_state=x%3D", "https://r.example:5000/v2/a/b/blobs/uploads/1?_state=x%3D"),
            ("1?s=a/../b", "https://r.example:5000/v2/a/b/blobs/uploads/1?s=a/../b"),
            ("../x", "https://r.example:5000/v2/a/b/blobs/x"),
            ("/a/./b/../c/.", "https://r.example:5000/a/c/"),
            ("/../../..", "https://r.example:5000/"),
            ("?y=2", "https://r.example:5000/v2/a/b/blobs/uploads/?y=2"),
            ("", "https://r.example:5000/v2/a/b/blobs/uploads/?x=1"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("https://cdn.example/x?sig=a%2Fb&c#top", "https://cdn.example/x?sig=a%2Fb&c"),
            ("https://cdn.example", "https://cdn.example/"),
            ("http://cdn.example/x", "http://cdn.example/x"),
            // A registry behind a proxy that ends TLS.
            ("http://r.example/v2/u", "https://r.example:5000/v2/u"),
            ("http://r.example:5000/v2/u", "https://r.example:5000/v2/u"),
            ("http://r.example:6000/v2/u", "http://r.example:6000/v2/u"),
        ] {
            assert_eq!(resolve(&base, reference).map(|uri| uri.to_string()).as_deref(), Some(target), "{reference}");
        }
        for nowhere in [
            "ftp://r.example/x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://user:pass@r.example/x",
            "https://r.example:0/",
            "https:///x",
            "https://127.1/",
            "/a b",
            "/a\u{7f}",
        ] {
            assert_eq!(resolve(&base, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn parameters_go_behind_the_ones_that_are_there() {
        let add = |text: &str| {
            let uri: Uri = text.parse().expect("a URI");
            with_query(&uri, &[("digest", "sha256:ab"), ("x", "a b&c")]).map(|uri| uri.to_string())
        };
        assert_eq!(add("http://h/u").as_deref(), Some("http://h/u?digest=sha256%3Aab&x=a%20b%26c"));
        assert_eq!(add("http://h/u?s=1").as_deref(), Some("http://h/u?s=1&digest=sha256%3Aab&x=a%20b%26c"));
        assert_eq!(add("http://h/u?s=1&").as_deref(), Some("http://h/u?s=1&digest=sha256%3Aab&x=a%20b%26c"));
    }

    #[test]
    fn finds_the_next_link() {
        for (header, target) in [
            (r#"</v2/a/tags/list?n=2&last=b>; rel="next""#, Some("/v2/a/tags/list?n=2&last=b")),
            ("</x>; rel=next", Some("/x")),
            (r#"</p>; rel="prev", </n>; title="x"; REL="start next""#, Some("/n")),
            (r#"</a,b>; rel="next""#, Some("/a,b")),
            (r#"</p>; rel="prev" , </n>; title="a, b"; rel=next, </l>; rel=last"#, Some("/n")),
            (r#"</p>; rel="prev""#, None),
            ("</x", None),
            ("", None),
            ("rel=next", None),
        ] {
            assert_eq!(next_link(header), target, "{header}");
        }
    }
}
