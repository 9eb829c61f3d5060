//! What a person reads who starts the daemon in a terminal: where it is, and
//! lines that do something when they are pasted into another terminal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::config::{Config, Environment};

/// What the words are about.
pub(super) struct Welcome<'a> {
    /// How the program was called, and where.
    pub(super) environment: &'a Environment,
    /// The folder and the local endpoint.
    pub(super) config: &'a Config,
    /// The first listener's address.
    pub(super) address: SocketAddr,
    /// The same as a URL.
    pub(super) url: &'a str,
    /// Whether nobody has an account yet.
    pub(super) is_first: bool,
    /// Whether clients have an authority to trust that they may not know.
    pub(super) has_ca: bool,
}

impl Welcome<'_> {
    /// The words.
    pub(super) fn text(&self) -> String {
        let program = quoted(&self.environment.program);
        let at = reachable(self.address);
        let url = self.url.replace(&self.address.to_string(), &at.to_string());
        let mut lines =
            vec![format!("\nTidegate serves {}, its data lies in {}", self.url, self.config.data.display())];
        if self.is_first {
            lines.push(format!("\nNobody can sign in yet. In another terminal, {}:\n", self.place()));
        }
        if !self.is_first && self.export().is_some() {
            lines.push("\nFor the command line, in another terminal:\n".to_owned());
        }
        let mut paste = |line: String| lines.push(format!("  {line}"));
        if let Some(export) = self.export() {
            paste(export);
        }
        if self.is_first {
            paste(format!("echo 'a long password' | {program} account create admin --admin --password-stdin"));
            for repository in ["dev/website", "qa/website"] {
                paste(format!("{program} repository create {repository}"));
            }
            paste(format!("{program} promotion create dev/website qa/website --rule 'tag ew -stable'"));
            paste(format!("docker login -u admin {at}"));
            paste(format!("docker tag IMAGE {at}/dev/website:1.0-stable && docker push {at}/dev/website:1.0-stable"));
            paste(format!("{program} why dev/website:1.0-stable"));
            if self.has_ca && url.starts_with("https://") {
                paste(format!("curl -ksS {url}/ca > tidegate-ca.crt   # what docker on other hosts has to trust"));
            }
        }
        lines.push(format!("\n`{program} help` lists what else there is; Ctrl-C stops.\n"));
        lines.join("\n")
    }

    /// The line after which the command line finds this daemon, where it does
    /// not look for it by itself.
    fn export(&self) -> Option<String> {
        let socket = &self.config.admin_socket;
        let is_found = match &self.environment.socket {
            Some(named) => self.environment.absolute(named) == *socket,
            None => self.is_beside() || *socket == self.environment.service_socket,
        };
        (!is_found).then(|| format!("export TIDEGATE_SOCKET={}", quoted(&socket.display().to_string())))
    }

    /// Whether the endpoint lies where the command line looks first.
    fn is_beside(&self) -> bool {
        self.config.admin_socket == self.environment.current_dir.join("tidegate-data").join("admin.sock")
    }

    /// Where the lines work.
    fn place(&self) -> String {
        let program = Path::new(&self.environment.program);
        let is_here = program.is_relative() && program.components().count() > 1;
        if is_here || (self.is_beside() && self.export().is_none()) {
            format!("in {}", quoted(&self.environment.current_dir.display().to_string()))
        } else {
            "anywhere".to_owned()
        }
    }
}

/// An address that a client can be given: a listener on all of them has none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// `text` as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;
    use std::path::PathBuf;

    fn text(data: Option<&str>, program: &str, is_first: bool) -> String {
        let mut environment = Environment::bare(PathBuf::from("/srv/my project"));
        environment.program = program.to_owned();
        let overrides = Overrides { data: data.map(PathBuf::from), listeners: Vec::new() };
        let config = Config::embedded(&overrides, &environment).unwrap();
        let (address, url) = ("0.0.0.0:5000".parse().unwrap(), "https://0.0.0.0:5000");
        let has_ca = program != "with-a-certificate";
        Welcome { environment: &environment, config: &config, address, url, is_first, has_ca }.text()
    }

    #[test]
    fn the_lines_work_when_they_are_pasted() {
        // With a folder of the operator's own, each of them once said that no
        // daemon was found; the promotion had no repository to go to.
        let told = text(Some("/var/the data"), "target/release/tidegate", true);
        assert!(told.contains("\n  export TIDEGATE_SOCKET='/var/the data/admin.sock'\n"), "{told}");
        assert!(told.contains("In another terminal, in '/srv/my project':\n\n"), "{told}");
        let (create, use_it) = ("repository create qa/website\n", "promotion create dev/website qa/website");
        assert!(told.find(create) < told.find(use_it) && told.contains(create), "{told}");
        assert!(told.contains("| target/release/tidegate account create admin"), "{told}");
        assert!(
            told.contains("docker login -u admin 127.0.0.1:5000\n")
                && told.contains("curl -ksS https://127.0.0.1:5000/ca"),
            "{told}"
        );
    }

    /// With a certificate of the operator's own, `/ca` gave an authority that
    /// had nothing to do with it.
    #[test]
    fn an_own_certificate_has_no_authority_to_fetch() {
        assert!(!text(None, "with-a-certificate", true).contains("/ca"));
        assert!(text(None, "tidegate", true).contains("/ca"));
    }

    #[test]
    fn nothing_is_exported_where_it_is_found_anyway() {
        let told = text(None, "tidegate", true);
        assert!(!told.contains("export") && told.contains("| tidegate account create"), "{told}");
        assert!(told.contains("in '/srv/my project':"), "{told}");
        assert!(text(Some("/var/d"), "tidegate", true).contains("In another terminal, anywhere:"));
    }

    #[test]
    fn later_starts_are_short() {
        let told = text(None, "tidegate", false);
        assert_eq!(told.lines().filter(|line| !line.is_empty()).count(), 2, "{told}");
        assert!(!told.contains("Then") && !told.contains("account create"), "{told}");
        assert!(text(Some("/d"), "tidegate", false).contains("\n  export TIDEGATE_SOCKET=/d/admin.sock\n"));
    }
}
