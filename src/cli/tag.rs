//! `tag list|history|restore|delete`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{API_PAGING, repository_path};
use super::error::CliError;
use super::image::Image;
use super::run::Session;
use super::terminal::{cell, rows};
use crate::oci::{Digest, RepoName};

/// What to do with tags.
#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// List the tags of a repository
    List(ListArgs),
    /// Say what a tag was: who set it to what, when and why, and who removed it
    History(HistoryArgs),
    /// Set a tag back to an image that it was, as long as that is kept
    Restore(RestoreArgs),
    /// Remove a tag; its image stays for a while, and so does the tag's history
    Delete(DeleteArgs),
}

/// `tag list`'s words.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// NAMESPACE/NAME, such as dev/website
    pub repository: RepoName,
}

/// `tag history`'s words.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The tag, such as dev/website:1.4; one that was removed has a history too
    #[arg(value_name = "REPOSITORY:TAG")]
    pub image: Image,
}

/// `tag restore`'s words.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The tag, such as dev/website:1.4
    #[arg(value_name = "REPOSITORY:TAG")]
    pub image: Image,
    /// The image it was, from its history
    pub digest: Digest,
    /// Do it only if the tag is this image now
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<Digest>,
}

/// `tag delete`'s words.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// The tag, such as dev/website:1.4
    #[arg(value_name = "REPOSITORY:TAG")]
    pub image: Image,
    /// Do it only if the tag is this image now
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<Digest>,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &TagCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        TagCommand::List(wanted) => list(wanted, session).await,
        TagCommand::History(wanted) => history(wanted, session).await,
        TagCommand::Restore(wanted) => restore(wanted, session).await,
        TagCommand::Delete(wanted) => delete(wanted, session).await,
    }
}

async fn list(wanted: &ListArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let path = format!("{}/tags", repository_path(&wanted.repository));
    let tags = session.client.list(&path, "", API_PAGING).await?;
    let row = |tag: &Value| {
        vec![
            cell(tag, "/name"),
            cell(tag, "/digest"),
            size(tag),
            cell(tag, "/updatedAt"),
            cell(tag, "/author"),
            cause(tag),
        ]
    };
    let shown = rows(&tags, "").iter().map(row).collect();
    session.show(&tags, &["TAG", "DIGEST", "SIZE", "SET AT", "BY", "CAUSE"], shown)
}

async fn history(wanted: &HistoryArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let changes = session.client.list(&format!("{}/history", wanted.image.path()), "", API_PAGING).await?;
    let row = |change: &Value| {
        let was_set = !cell(change, "/digest").is_empty();
        let state = match (was_set, is(change, "/current"), is(change, "/available")) {
            (true, true, _) => "current",
            (true, false, false) => "gone",
            (true, false, true) | (false, _, _) => "",
        };
        vec![
            cell(change, "/at"),
            cell(change, "/author"),
            cause(change),
            cell(change, "/digest"),
            cell(change, "/previousDigest"),
            state.to_owned(),
        ]
    };
    let shown = rows(&changes, "").iter().map(row).collect();
    session.show(&changes, &["AT", "BY", "CAUSE", "DIGEST", "BEFORE", "STATE"], shown)
}

async fn restore(wanted: &RestoreArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let body = json!({"digest": wanted.digest});
    let path = wanted.image.path();
    let tag = session.client.change(Method::PUT, &path, Some(&body), wanted.expect.as_ref()).await?;
    session.say(&tag, &format!("{} is {} again", wanted.image, wanted.digest))
}

async fn delete(wanted: &DeleteArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let answer = session.client.change(Method::DELETE, &wanted.image.path(), None, wanted.expect.as_ref()).await?;
    session.say(&answer, &format!("deleted tag {}", wanted.image))
}

/// Why a tag was set or removed, in words.
fn cause(value: &Value) -> String {
    let of = |part: &str| cell(value, part);
    match of("/cause").as_str() {
        "promotion" => {
            let policy = of("/promotion/promotionPolicyID");
            let from = format!("{}:{}", of("/promotion/sourceRepository"), of("/promotion/sourceTag"));
            match policy.as_str() {
                "MANUAL_PROMOTION" => format!("promotion by hand from {from}"),
                policy => format!("promotion {policy} from {from}"),
            }
        }
        "poll_mirroring" => format!(
            "pull mirror {} from {}/{}:{}",
            of("/mirroring/mirroringPolicyID"),
            of("/mirroring/remoteHost"),
            of("/mirroring/remoteRepository"),
            of("/mirroring/remoteTag")
        ),
        "manifest_delete" => "delete of the manifest".to_owned(),
        "tag_limit" => "tag limit".to_owned(),
        other => other.to_owned(),
    }
}

/// The image's size for people; nothing where the daemon does not say.
fn size(tag: &Value) -> String {
    let bytes = tag.pointer("/manifest/imageSize").and_then(Value::as_u64);
    bytes.map(|bytes| bytesize::ByteSize(bytes).to_string()).unwrap_or_default()
}

fn is(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use crate::oci::Digest;
    use serde_json::{Value, json};

    const TAGS: &str = "/api/v0/repositories/dev/web%2Fsite/tags";

    #[tokio::test]
    async fn tags_are_listed_with_size_and_cause() {
        let tag = |name: &str, more: Value| {
            let mut tag = json!({"name": name, "digest": "sha256:aa", "author": "ann", "updatedAt": "then",
                "cause": "push", "manifest": {"size": 500, "imageSize": 3 * 1024 * 1024}});
            tag.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            tag
        };
        let promoted = json!({"cause": "promotion", "manifest": {"size": 500}, "promotion":
            {"promotionPolicyID": "p1", "sourceRepository": "dev/app", "sourceTag": "1.0"}});
        let by_hand = json!({"cause": "promotion", "promotion":
            {"promotionPolicyID": "MANUAL_PROMOTION", "sourceRepository": "dev/app", "sourceTag": "1.0"}});
        let pulled = json!({"cause": "poll_mirroring", "mirroring": {"mirroringPolicyID": "p2",
            "remoteHost": "https://far", "remoteRepository": "a/b", "remoteTag": "3"}});
        let (first, second) =
            (json!([tag("1.0", json!({})), tag("2.0", promoted)]), [tag("3.0", by_hand), tag("4.0", pulled)]);
        let script = || {
            vec![
                reply(&format!("GET {TAGS}?pageSize=1000"), 200, first.clone()).next("3.0"),
                reply(&format!("GET {TAGS}?pageSize=1000&pageStart=3.0"), 200, json!(second)),
            ]
        };
        let out = Fake::new(script()).run(&["tag", "list", "dev/web/site"], "").await.done();
        assert_eq!(
            out,
            "TAG  DIGEST     SIZE     SET AT  BY   CAUSE\n\
             1.0  sha256:aa  3.0 MiB  then    ann  push\n\
             2.0  sha256:aa           then    ann  promotion p1 from dev/app:1.0\n\
             3.0  sha256:aa  3.0 MiB  then    ann  promotion by hand from dev/app:1.0\n\
             4.0  sha256:aa  3.0 MiB  then    ann  pull mirror p2 from https://far/a/b:3\n"
        );
        let out = Fake::new(script()).run(&["tag", "list", "dev/web/site", "--json"], "").await.done();
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap().as_array().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_history_tells_what_is_current_gone_and_removed() {
        let change = |at: &str, cause: &str, digest: Value, before: Value, current: bool, available: bool| {
            json!({"sequence": 1, "at": at, "author": "ann", "cause": cause, "digest": digest,
                "previousDigest": before, "current": current, "available": available})
        };
        let history = json!([
            change("4", "restore", json!("sha256:aa"), Value::Null, true, true),
            change("3", "manifest_delete", Value::Null, json!("sha256:bb"), false, false),
            change("2", "push", json!("sha256:bb"), json!("sha256:aa"), false, false),
            change("1", "push", json!("sha256:aa"), Value::Null, false, true),
        ]);
        let request = format!("GET {TAGS}/1.4/history?pageSize=1000");
        let fake = Fake::new(vec![reply(&request, 200, history.clone()), reply(&request, 200, history.clone())]);
        let out = fake.run(&["tag", "history", "dev/web/site:1.4"], "").await.done();
        assert_eq!(
            out,
            "AT  BY   CAUSE                   DIGEST     BEFORE     STATE\n\
             4   ann  restore                 sha256:aa             current\n\
             3   ann  delete of the manifest             sha256:bb\n\
             2   ann  push                    sha256:bb  sha256:aa  gone\n\
             1   ann  push                    sha256:aa\n"
        );
        let out = fake.run(&["--json", "tag", "history", "dev/web/site:1.4"], "").await.done();
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), history);
    }

    #[tokio::test]
    async fn a_tag_is_set_back_and_removed_if_it_is_what_was_expected() {
        let digest = Digest::sha256_of(b"x").to_string();
        let path = format!("{TAGS}/1.4");
        let refusal = json!({"errors": [{"code": "PRECONDITION_FAILED", "message": "it is another"}]});
        let fake = Fake::new(vec![
            reply(&format!("PUT {path}"), 200, json!([{"name": "1.4"}])),
            reply(&format!("DELETE {path}"), 204, Value::Null),
            reply(&format!("DELETE {path}"), 412, refusal),
        ]);
        let out = fake.run(&["tag", "restore", "dev/web/site:1.4", &digest, "--expect", &digest], "").await.done();
        assert_eq!(out, format!("dev/web/site:1.4 is {digest} again\n"));
        let out = fake.run(&["tag", "delete", "dev/web/site:1.4"], "").await.done();
        assert_eq!(out, "deleted tag dev/web/site:1.4\n");
        let ran = fake.run(&["tag", "delete", "dev/web/site:1.4", "--expect", &digest], "").await;
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Failure, "error: it is another (PRECONDITION_FAILED)\n"));
        let seen = fake.seen();
        assert_eq!(seen[0].body, json!({"digest": digest}));
        let conditions: Vec<&str> = seen.iter().map(|seen| seen.if_match.as_str()).collect();
        assert_eq!(conditions, [&format!("\"{digest}\""), "", &format!("\"{digest}\"")]);
        assert_eq!(fake.run(&["tag", "restore", "dev/web/site:1.4", "sha256:zz"], "").await.exit, Exit::Usage);
    }
}
