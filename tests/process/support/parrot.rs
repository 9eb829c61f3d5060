//! A registry that repeats what it is sent: in errors, in headers, in the wrong
//! place of an answer. It asks for a token, and its token service hands out
//! secrets of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The registry; it ends when this is dropped.
pub(crate) struct Parrot {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    is_over: AtomicBool,
    /// What it was sent to sign in with, decoded.
    heard: Mutex<Vec<String>>,
    own: ParrotSecrets,
}

/// The secrets that it has itself.
#[derive(Clone)]
pub(crate) struct ParrotSecrets {
    /// What its token service gives.
    pub(crate) token: String,
    /// What that gives beside.
    pub(crate) refresh: String,
    /// A password in the address of a redirect.
    pub(crate) userinfo: String,
    /// A signature in another.
    pub(crate) signature: String,
}

impl Parrot {
    /// Starts one on loopback.
    pub(crate) fn start(own: ParrotSecrets) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { is_over: AtomicBool::new(false), heard: Mutex::default(), own });
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.is_over.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away is no failure of the test.
                let _ = stream.and_then(|stream| inside.answer(&stream, address));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Its address, as a mirror is given it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was sent to sign in with so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.shared.heard()
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, stream: &TcpStream, address: SocketAddr) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream);
        let (mut line, mut path, mut authorization, mut length) = (String::new(), String::new(), String::new(), 0_u64);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or("/").to_owned();
            } else if let Some((name, value)) = line.trim_end().split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => authorization = value.trim().to_owned(),
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    _ => {}
                }
            }
        }
        std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
        let (status, headers, body) = self.reply(&path, &authorization, address);
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn reply(&self, path: &str, authorization: &str, address: SocketAddr) -> (u16, String, String) {
        let own = &self.own;
        if let Some(pair) = authorization.strip_prefix("Basic ") {
            let decoded = STANDARD.decode(pair).unwrap_or_default();
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let text = String::from_utf8_lossy(&decoded).into_owned();
            if !heard.contains(&text) {
                heard.push(text);
            }
        }
        if path.starts_with("/token") {
            // By its token it is known what a client has sent for it.
            let decoded = authorization.strip_prefix("Basic ").and_then(|pair| STANDARD.decode(pair).ok());
            let pair = String::from_utf8(decoded.unwrap_or_default()).unwrap_or_default();
            let number = self.heard().iter().position(|heard| *heard == pair).unwrap_or(0);
            let token = format!("{}-{number}", own.token);
            let body = json!({"token": token, "access_token": token, "refresh_token": own.refresh});
            return (200, "Content-Type: application/json\r\n".to_owned(), body.to_string());
        }
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let number = token.strip_prefix(&own.token).and_then(|rest| rest.strip_prefix('-')?.parse::<usize>().ok());
        let Some(pair) = number.and_then(|number| self.heard().get(number).cloned()) else {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{address}/token\",service=\"parrot\"\r\n");
            return (401, challenge, String::new());
        };
        let said = format!("you sent {} for {token}", repeated(&pair));
        let warning = format!("Warning: 299 - \"{}\"\r\n", said.replace(['"', '\\'], "'"));
        match path {
            path if path.contains("/redirect/") => {
                let to = format!("Location: http://bob:{}@{address}/x?sig={}\r\n", own.userinfo, own.signature);
                (307, to, said)
            }
            path if path.contains("/signed/") => {
                let to = format!("Location: http://{address}/v2/parrot/error/x?sig={}\r\n", own.signature);
                (307, to, said)
            }
            path if path.contains("/json/") => {
                (200, format!("{warning}Content-Type: application/json\r\n"), json!({"tags": said}).to_string())
            }
            path if path.contains("/tags/") && path.contains("/names/") => {
                (200, warning, json!({"tags": [said, "1.0"]}).to_string())
            }
            path if path.contains("/type/") => {
                (200, format!("{warning}Content-Type: {said}\r\nContent-Encoding: {said}\r\n"), said)
            }
            _ => {
                let errors = json!({"errors": [{"code": "UNKNOWN", "message": said}]});
                (500, warning, errors.to_string())
            }
        }
    }
}

/// A name and a password, in the forms that programs put them into words.
fn repeated(pair: &str) -> String {
    let password = pair.split_once(':').map_or(pair, |(_, password)| password);
    let escaped = percent_encoding::percent_encode(pair.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
    format!("{pair} {password} {} {} {escaped} {}", STANDARD.encode(pair), STANDARD.encode(password), hex::encode(pair))
}
