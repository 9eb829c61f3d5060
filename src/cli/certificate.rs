//! `certificate map|list|unmap`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{API_PAGING, segment};
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, rows};

/// What to do with client certificates.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Have certificates with a name stand for a user
    Map {
        /// `fingerprint:SHA256`, `uri:…`, `email:…`, `dns:…` or `cn:…`
        name: String,
        /// The user
        user: String,
    },
    /// List which name stands for whom
    List,
    /// Have a name stand for nobody, at once
    Unmap {
        /// The name, as `certificate list` shows it
        name: String,
    },
}

const PATH: &str = "/api/v0/clientCertificates";

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &CertificateCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        CertificateCommand::Map { name, user } => {
            let mapped = session.client.post(PATH, &json!({"name": name, "account": user})).await?;
            session.say(&mapped, &format!("{} stands for {}", cell(&mapped, "/name"), cell(&mapped, "/account")))
        }
        CertificateCommand::List => {
            let mapped = session.client.list(PATH, "certificates", API_PAGING).await?;
            let row = |one: &Value| vec![cell(one, "/name"), cell(one, "/account"), cell(one, "/createdAt")];
            let shown = rows(&mapped, "/certificates").iter().map(row).collect();
            session.show(&mapped, &["NAME", "USER", "CREATED"], shown)
        }
        CertificateCommand::Unmap { name } => {
            let gone = session.client.delete(&format!("{PATH}?name={}", segment(name))).await?;
            session.say(&gone, &format!("{name} stands for nobody"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use serde_json::{Value, json};

    #[tokio::test]
    async fn names_of_certificates_are_mapped_and_forgotten() {
        let mapped = json!({"name": "cn:press-7", "account": "ann"});
        let fake = Fake::new(vec![
            reply("POST /api/v0/clientCertificates", 201, mapped.clone()),
            reply("GET /api/v0/clientCertificates?pageSize=1000", 200, json!({"certificates": [mapped]})),
            reply("DELETE /api/v0/clientCertificates?name=uri%3Aspiffe%3A%2F%2Fx%2Fy", 204, Value::Null),
        ]);
        let out = fake.run(&["certificate", "map", "cn:press-7", "ann"], "").await.done();
        assert_eq!(out, "cn:press-7 stands for ann\n");
        assert!(fake.run(&["certificate", "list"], "").await.done().contains("cn:press-7  ann"));
        let out = fake.run(&["certificate", "unmap", "uri:spiffe://x/y"], "").await.done();
        assert_eq!(out, "uri:spiffe://x/y stands for nobody\n");
    }
}
