//! Signing in by the token service, with programs that are not ours: a real
//! Docker engine with a password, an access token and a robot; curl with tokens
//! and a client certificate.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{ADMIN, Daemon, Engine, Namespace, PASSWORD, Run as _, program, turn};

const BOB: &str = "bobs long password";

#[tokio::test]
async fn docker_signs_in_and_is_refused_once_what_it_showed_is_taken_back() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new();
    let daemon = Daemon::start(folder.path(), Some(&namespace)).await;
    let engine = Engine::start(folder.path(), &namespace).await;
    engine.trust(daemon.address(), &daemon.ca());
    daemon.cli_with(&["account", "create", "bob", "--password-stdin"], BOB).good();
    daemon.cli(&["repository", "create", "bob/app"]).good();
    daemon.cli(&["repository", "create", "dev/app"]).good();
    engine.import("base", b"what is in the image");

    // With a password: what is kept is no password, and it works for what follows.
    engine.login(daemon.address(), "bob", BOB).good();
    let kept = std::fs::read_to_string(engine.client_config()).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let identity = kept["auths"][daemon.address()]["identitytoken"].as_str().expect("an identity token").to_owned();
    assert!(identity.starts_with("tgp_") && !kept.to_string().contains(BOB));
    let image = format!("{}/bob/app:1.0", daemon.address());
    engine.run(&["tag", "base", &image]).good();
    engine.run(&["push", &image]).good();
    engine.run(&["rmi", &image]).good();
    engine.run(&["pull", &image]).good();
    let other = format!("{}/dev/app:1.0", daemon.address());
    engine.run(&["tag", "base", &other]).good();
    engine.run(&["push", &other]).refused();

    // Taken back, at once.
    let listed = daemon.cli(&["--json", "token", "list", "--user", "bob"]).good();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let hash = listed[0]["hashedToken"].as_str().unwrap().to_owned();
    daemon.cli(&["token", "revoke", &hash]).good();
    engine.run(&["pull", &image]).refused();
    engine.login(daemon.address(), "bob", "not the password").refused();

    // An access token where a password is asked for, with less than all rights.
    let words = ["token", "create", "--user", "bob", "--scope", "bob/app:pull"];
    let token = daemon.cli(&words).good();
    engine.login(daemon.address(), "bob", token.trim()).good();
    engine.run(&["rmi", &image]).good();
    engine.run(&["pull", &image]).good();
    let again = format!("{}/bob/app:2.0", daemon.address());
    engine.run(&["tag", "base", &again]).good();
    engine.run(&["push", &again]).refused();

    // A robot.
    let words = ["robot", "create", "dev+ci", "--scope", "dev/*:push", "--expires", "90d"];
    let token = daemon.cli(&words).good();
    engine.login(daemon.address(), "dev+ci", token.trim()).good();
    engine.run(&["push", &other]).good();
    engine.run(&["pull", &image]).refused();
    daemon.cli(&["robot", "delete", "dev+ci"]).good();
    engine.run(&["push", &other]).refused();

    engine.stop().await;
    daemon.stop().await;
}

#[tokio::test]
async fn curl_signs_in_with_tokens_and_a_certificate() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let (ca, certificate, key) = client_certificate(folder.path(), "press-7");
    let daemon = Daemon::start_asking(folder.path(), &ca, None).await;
    daemon.cli_with(&["account", "create", "bob", "--password-stdin"], BOB).good();
    daemon.cli(&["repository", "create", "bob/app"]).good();

    let answer = daemon.stranger().signed_in("bob", BOB).get("/auth/token").is(200).json();
    let bearer = format!("Authorization: Bearer {}", answer["token"].as_str().unwrap());
    let with_token = |path: &str| daemon.stranger().send("GET", path, &[&bearer], b"");
    assert_eq!(with_token("/v2/_catalog").is(200).json(), json!({"repositories": ["bob/app"]}));
    assert_eq!(with_token("/enzi/v0/id/").is(200).json()["name"], "bob");
    let login = json!({"username": ADMIN, "password": PASSWORD}).to_string();
    let session = daemon.stranger().send("POST", "/auth/login", &[], login.as_bytes()).is(200).json();
    let session = session["auth_token"].as_str().unwrap().to_owned();
    daemon.stranger().get(&format!("/enzi/v0/accounts/?refresh_token={session}")).is(200);

    // A certificate is nobody's until it is mapped, and again after.
    let shown = daemon.stranger().showing(&certificate, &key);
    shown.get("/v2/").is(401);
    shown.signed_in("bob", BOB).get("/v2/").is(200);
    daemon.cli(&["certificate", "map", "cn:press-7", "bob"]).good();
    assert_eq!(shown.get("/enzi/v0/id/").is(200).json()["name"], "bob");
    let token = shown.get("/auth/token").is(200).json()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}");
    daemon.stranger().send("GET", "/v2/bob/app/tags/list", &[&bearer], b"").is(200);
    daemon.cli(&["certificate", "unmap", "cn:press-7"]).good();
    shown.get("/v2/").is(401);
    daemon.stranger().send("GET", "/v2/bob/app/tags/list", &[&bearer], b"").is(401);
    // One of an authority that is not believed does not get that far.
    let (_, other, other_key) = client_certificate(&folder.path().join("other"), "press-7");
    assert!(!daemon.stranger().showing(&other, &other_key).reaches("/v2/"));
    daemon.stranger().signed_in("bob", BOB).get("/v2/").is(200);
    daemon.stop().await;
}

#[tokio::test]
async fn docker_signs_in_with_a_certificate() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let (ca, certificate, key) = client_certificate(folder.path(), "press-7");
    let namespace = Namespace::new();
    let daemon = Daemon::start_asking(folder.path(), &ca, Some(&namespace)).await;
    let engine = Engine::start(folder.path(), &namespace).await;
    let host = daemon.address();
    engine.trust(host, &daemon.ca());
    engine.shows(host, &certificate, &key);
    daemon.cli_with(&["account", "create", "bob", "--password-stdin"], BOB).good();
    daemon.cli(&["repository", "create", "bob/app"]).good();
    engine.import("base", b"what is in the image");
    let image = format!("{host}/bob/app:1.0");
    engine.run(&["tag", "base", &image]).good();
    engine.run(&["push", &image]).refused();
    daemon.cli(&["certificate", "map", "cn:press-7", "bob"]).good();
    engine.run(&["push", &image]).good();
    engine.run(&["rmi", &image]).good();
    engine.run(&["pull", &image]).good();
    daemon.cli(&["certificate", "unmap", "cn:press-7"]).good();
    engine.run(&["push", &image]).refused();
    engine.stop().await;
    daemon.stop().await;
}

/// An authority and a certificate of it, made by openssl.
fn client_certificate(folder: &Path, name: &str) -> (std::path::PathBuf, std::path::PathBuf, std::path::PathBuf) {
    std::fs::create_dir_all(folder).unwrap();
    let at = |file: &str| folder.join(file);
    let openssl = |words: &[&str]| {
        let mut command: Command = program("openssl");
        command.args(words).current_dir(folder).run().good();
    };
    let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    openssl(
        &[&["req", "-x509", "-keyout", "clients.key", "-out", "clients.crt", "-subj", "/CN=clients"], &new[..]]
            .concat(),
    );
    let request = ["req", "-keyout", "one.key", "-out", "one.csr", "-subj", &format!("/CN={name}")];
    openssl(&[&request[..], &new[..5]].concat());
    std::fs::write(at("one.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "one.csr",
        "-CA",
        "clients.crt",
        "-CAkey",
        "clients.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "one.ext",
        "-out",
        "one.crt",
    ]);
    (at("clients.crt"), at("one.crt"), at("one.key"))
}
