//! HTTP by curl: a client that is not ours, one request a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::namespace::Namespace;
use super::program::{need, output};

/// Who is asked, and as whom.
#[derive(Clone)]
pub(crate) struct Client {
    /// `https://host:port`, or `http://localhost` over a socket.
    base: String,
    arguments: Vec<String>,
    /// What goes before curl: the way into a namespace.
    prefix: Vec<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Asks `base` over TLS, trusting the certificates in `ca` alone.
    pub(crate) fn tls(base: &str, ca: PathBuf) -> Self {
        let arguments = vec!["--cacert".to_owned(), ca.display().to_string()];
        Self { base: base.to_owned(), arguments, prefix: Vec::new() }
    }

    /// The same, signed in.
    pub(crate) fn signed_in(&self, name: &str, password: &str) -> Self {
        let mut client = self.clone();
        client.arguments.extend(["--user".to_owned(), format!("{name}:{password}")]);
        client
    }

    /// The same, showing a client certificate.
    pub(crate) fn showing(&self, certificate: &Path, key: &Path) -> Self {
        let mut client = self.clone();
        let file = |path: &Path| path.display().to_string();
        client.arguments.extend(["--cert".to_owned(), file(certificate), "--key".to_owned(), file(key)]);
        client
    }

    /// Whether `GET path` gets any answer.
    pub(crate) fn reaches(&self, path: &str) -> bool {
        let mut command = Command::new(need("curl"));
        command.args(["-q", "-sS", "--max-time", "120"]).args(&self.arguments).arg(format!("{}{path}", self.base));
        output(&mut command, b"").status.success()
    }

    /// The same, from inside `namespace`.
    pub(crate) fn inside(&self, namespace: &Namespace) -> Self {
        let command = namespace.lasting(&need("curl"));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let mut prefix: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        prefix.pop();
        Self { prefix, ..self.clone() }
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Sends a request; `path` as it stands, whatever it holds.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut words = self.prefix.iter();
        let curl = need("curl");
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(curl);
                command
            }
            None => Command::new(curl),
        };
        // The first: no settings of the person who runs this.
        command.args(["-q", "-sS", "-i", "--path-as-is", "--globoff", "--max-time", "120", "-H", "Expect:"]);
        command.args(&self.arguments);
        match method {
            "HEAD" => command.arg("--head"),
            _ => command.args(["-X", method]),
        };
        for header in headers {
            command.args(["-H", header]);
        }
        if !body.is_empty() {
            if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-type")) {
                command.args(["-H", "Content-Type: application/octet-stream"]);
            }
            command.args(["--data-binary", "@-"]);
        }
        let told = output(command.arg(format!("{}{path}", self.base)), body);
        assert!(!told.stdout.is_empty(), "{method} {path}: {}", String::from_utf8_lossy(&told.stderr));
        Answer::read(&told.stdout)
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        loop {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("headers end in an empty line");
            let head = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 4..];
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
            let status: u16 = status.expect("a status line");
            if status < 200 {
                continue;
            }
            let header = |line: &str| line.split_once(':').map(|(k, v)| (k.to_lowercase(), v.trim().to_owned()));
            return Self { status, headers: lines.filter_map(header).collect(), body: rest.to_vec() };
        }
    }

    /// The first header called `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Panics unless the status is `status`.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert!(self.status == status, "{} in place of {status}: {}", self.status, self.text());
        self
    }
}
