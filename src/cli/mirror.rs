//! What push and pull mirrors have in common: the far side and its flags, the
//! rules and the template, and how they are listed.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{API_PAGING, repository_path, segment};
use super::dial::certificates;
use super::error::{CliError, UsageError};
use super::rule::{Rule, shown};
use super::run::Session;
use super::terminal::{cell, rows};
use crate::oci::RepoName;
use crate::secret::Secret;

/// The far side.
#[derive(Args, Debug)]
pub struct FarArgs {
    /// The other registry: https://HOST, http://HOST, or a bare host for https
    #[arg(long, value_name = "URL")]
    pub remote: String,
    /// The repository there
    #[arg(long, value_name = "NAME")]
    pub remote_repository: String,
    /// Who signs in there
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Read the password for it from standard input
    #[arg(long, requires = "username", conflicts_with = "token_stdin")]
    pub password_stdin: bool,
    /// Read an access token for it from standard input
    #[arg(long)]
    pub token_stdin: bool,
    /// Certificates (PEM) to trust there
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust whatever certificate it shows
    #[arg(long)]
    pub skip_tls_verification: bool,
}

/// What every policy has.
#[derive(Args, Debug)]
pub struct PolicyArgs {
    /// Only images that meet it: 'FIELD OPERATOR VALUE[,VALUE…]'; repeat it, and all must hold
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<Rule>,
    /// The tag at the target; %n is the image's own
    #[arg(long, value_name = "TEMPLATE", default_value = "%n")]
    pub tag_template: String,
    /// Save it without letting it act
    #[arg(long)]
    pub disabled: bool,
    /// Act on what comes from now on, not on what is already there
    #[arg(long)]
    pub no_initial_evaluation: bool,
}

/// A policy on a repository.
#[derive(Args, Debug)]
pub struct OneArgs {
    /// NAMESPACE/NAME
    pub repository: RepoName,
    /// The policy, as `list` shows it
    pub id: String,
}

/// A repository, or all of them.
#[derive(Args, Debug)]
pub struct AllArgs {
    /// NAMESPACE/NAME; every repository without it
    pub repository: Option<RepoName>,
}

/// A policy that is to act.
#[derive(Args, Debug)]
pub struct EnableArgs {
    /// Which.
    #[command(flatten)]
    pub one: OneArgs,
    /// Act on what comes from now on, not on what is already there
    #[arg(long)]
    pub no_initial_evaluation: bool,
}

/// What changes about the far side of a mirror; the rest stays.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// Which.
    #[command(flatten)]
    pub one: OneArgs,
    /// Who signs in there
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Read the password for it from standard input
    #[arg(long, conflicts_with = "token_stdin")]
    pub password_stdin: bool,
    /// Read an access token for it from standard input
    #[arg(long)]
    pub token_stdin: bool,
    /// Certificates (PEM) to trust there
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Let it act from now on
    #[arg(long)]
    pub enable: bool,
}

/// A kind of policy: the end of its path, and what it is called.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// `…/{collection}`
    pub collection: &'static str,
    /// For people.
    pub noun: &'static str,
}

impl PolicyArgs {
    /// The part of a policy's body that these flags are.
    pub fn to_json(&self) -> Map<String, Value> {
        let rules: Vec<Value> = self.rule.iter().map(Rule::to_json).collect();
        Map::from_iter([
            ("enabled".to_owned(), json!(!self.disabled)),
            ("rules".to_owned(), json!(rules)),
            ("tagTemplate".to_owned(), json!(self.tag_template)),
        ])
    }

    /// The query that says whether what is already there counts.
    pub const fn query(&self) -> &'static str {
        if self.no_initial_evaluation { "?initialEvaluation=false" } else { "?initialEvaluation=true" }
    }
}

impl FarArgs {
    /// The part of a mirror's body that these flags are; reads the secret.
    ///
    /// # Errors
    /// When standard input holds no secret, or `--ca` no certificate.
    pub fn to_json(&self, session: &mut Session<'_, '_>) -> Result<Map<String, Value>, CliError> {
        let given = self.password_stdin || self.token_stdin;
        let secret = if given { session.terminal.secret()? } else { Secret::default() };
        let (password, token) = if self.token_stdin { ("", secret.expose()) } else { (secret.expose(), "") };
        let ca = self.ca.as_ref().map(|path| certificates(&session.environment.absolute(path))).transpose()?;
        Ok(Map::from_iter([
            ("remoteHost".to_owned(), json!(self.remote)),
            ("remoteRepository".to_owned(), json!(self.remote_repository)),
            ("username".to_owned(), json!(self.username.as_deref().unwrap_or_default())),
            ("password".to_owned(), json!(password)),
            ("authToken".to_owned(), json!(token)),
            ("remoteCA".to_owned(), json!(ca.map(|(text, _)| text).unwrap_or_default())),
            ("skipTLSVerification".to_owned(), json!(self.skip_tls_verification)),
        ]))
    }
}

/// `…/{collection}` of a repository.
pub fn collection(repository: &RepoName, collection: &str) -> String {
    format!("{}/{collection}", repository_path(repository))
}

/// The policies of a kind: of a repository, or of all.
///
/// # Errors
/// [`CliError`].
pub async fn policies(
    kind: Kind,
    query: &str,
    of: Option<&RepoName>,
    session: &Session<'_, '_>,
) -> Result<Value, CliError> {
    let path = |repository: &RepoName| collection(repository, kind.collection) + query;
    if let Some(repository) = of {
        return session.client.get(&path(repository)).await;
    }
    let mut all = Vec::new();
    let listed = session.client.list("/api/v0/repositories", "repositories", API_PAGING).await?;
    for repository in rows(&listed, "/repositories") {
        let name = format!("{}/{}", cell(repository, "/namespace"), cell(repository, "/name"));
        let Ok(name) = name.parse() else { continue };
        match session.client.get(&path(&name)).await {
            // Seen, but its policies are for those who administer it; or gone by now.
            Err(CliError::Api(refused)) if matches!(refused.status, 403 | 404) => {}
            found => all.extend_from_slice(rows(&found?, "")),
        }
    }
    Ok(Value::Array(all))
}

/// Lets a policy act, or not.
///
/// # Errors
/// [`CliError`].
pub async fn switch(
    kind: Kind,
    one: &OneArgs,
    enabled: bool,
    evaluates: bool,
    session: &mut Session<'_, '_>,
) -> Result<(), CliError> {
    let path = format!("{}?initialEvaluation={evaluates}", policy_path(kind, one));
    let answer = session.client.put(&path, &json!({ "enabled": enabled })).await?;
    let done = if enabled { "enabled" } else { "disabled" };
    session.say(&answer, &format!("{done} {} {} of {}", kind.noun, one.id, one.repository))
}

/// Changes what a mirror knows of its far side.
///
/// # Errors
/// [`CliError`].
pub async fn update(kind: Kind, wanted: &UpdateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = Map::new();
    if let Some(name) = &wanted.username {
        body.insert("username".to_owned(), json!(name));
    }
    if wanted.password_stdin || wanted.token_stdin {
        let field = if wanted.token_stdin { "authToken" } else { "password" };
        body.insert(field.to_owned(), json!(session.terminal.secret()?.expose()));
    }
    if let Some(path) = &wanted.ca {
        let (text, _) = certificates(&session.environment.absolute(path))?;
        body.insert("remoteCA".to_owned(), json!(text));
    }
    if wanted.enable {
        body.insert("enabled".to_owned(), json!(true));
    }
    if body.is_empty() {
        return Err(CliError::Usage(UsageError::NothingToChange));
    }
    let answer = session.client.put(&policy_path(kind, &wanted.one), &Value::Object(body)).await?;
    session.say(&answer, &format!("updated {} {} of {}", kind.noun, wanted.one.id, wanted.one.repository))
}

/// Where a policy is.
fn policy_path(kind: Kind, one: &OneArgs) -> String {
    format!("{}/{}", collection(&one.repository, kind.collection), segment(&one.id))
}

/// The far side of a mirror in the API's answer.
pub fn far_side(policy: &Value) -> String {
    format!("{} {}", cell(policy, "/remoteHost"), cell(policy, "/remoteRepository"))
}

/// A policy's rules for a table, where none means every image.
pub fn rules(policy: &Value) -> String {
    Some(shown(policy)).filter(|rules| !rules.is_empty()).unwrap_or_else(|| "every tag".to_owned())
}

/// A mirror's last result for a table.
pub fn last_status(policy: &Value) -> String {
    let (code, detail) = (cell(policy, "/lastStatus/code"), cell(policy, "/lastStatus/detail"));
    if detail.is_empty() { code } else { format!("{code}: {detail}") }
}
