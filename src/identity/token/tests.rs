//! Tokens that are ours, and everything that is not.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const HOST: &str = "registry.example:5000";

fn instance() -> Id {
    Id::from_bytes([7; 16])
}

fn signer() -> Signer {
    Signer::new(Zeroizing::new([1; 32]), instance())
}

fn ann() -> Bearer {
    Bearer { subject: Id::from_bytes([2; 16]), proof: Proof::Password([3; 16]) }
}

fn token() -> String {
    signer().sign(&ann(), HOST, NOW, &Chance::seeded(1))
}

/// The claims of a good token, with some of them changed, signed by us.
fn with(change: impl FnOnce(&mut Value)) -> String {
    let token = token();
    let claims = token.split('.').nth(1).unwrap();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    change(&mut claims);
    signer().sign_text(&claims.to_string())
}

/// A good token's claims below another header, signed by our key all the same.
fn under(header: &str) -> String {
    let token = token();
    let claims = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
    let signature = signer().0.pair.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// The same with HMAC-SHA-256 under a key of the forger's.
fn hmac(header: &str, key: &[u8]) -> String {
    let token = token();
    let claims = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn kid() -> String {
    let header = URL_SAFE_NO_PAD.decode(&signer().0.header).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// What strangers could try, by name.
fn forged() -> Vec<(&'static str, String)> {
    let good = token();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let kid = kid();
    let public = signer().0.pair.public_key().as_ref().to_vec();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&public) });
    let said = |alg: &str| json!({ "alg": alg, "kid": kid, "typ": "JWT" }).to_string();
    let extra = |name: &str, value: Value| {
        let mut header = json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT" });
        header[name] = value;
        under(&header.to_string())
    };
    let other_key = Signer::new(Zeroizing::new([9; 32]), instance());
    let other_instance = Signer::new(Zeroizing::new([1; 32]), Id::from_bytes([8; 16]));
    let flipped = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let unsigned = |alg: &str| format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(said(alg)));
    let mut twice = serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap().to_string();
    twice.insert_str(1, r#""sub":"00000000-0000-4000-8000-000000000000","#);
    vec![
        ("nothing", String::new()),
        ("a dot", ".".into()),
        ("two dots", "..".into()),
        ("alg none without a signature", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE", unsigned("NONE")),
        ("alg none with our signature", under(&said("none"))),
        ("our header without a signature", format!("{signed}.")),
        ("no signature segment", signed.to_owned()),
        ("HS256 with the public key", hmac(&said("HS256"), &public)),
        ("HS256 with the public key as hex", hmac(&said("HS256"), hex::encode(&public).as_bytes())),
        ("HS256 with an empty key", hmac(&said("HS256"), b"")),
        (
            "HMAC under our own header",
            hmac(&String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap(), &public),
        ),
        ("RS256 said", under(&said("RS256"))),
        ("ES256 said", under(&said("ES256"))),
        ("Ed25519 said", under(&said("Ed25519"))),
        ("eddsa in small letters", under(&said("eddsa"))),
        ("another key", other_key.sign(&ann(), HOST, NOW, &Chance::seeded(1))),
        ("another key under our kid", {
            let text = other_key.0.pair.sign(signed.as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(text.as_ref()))
        }),
        ("another kid", under(&json!({ "alg": "EdDSA", "kid": "0000000000000000", "typ": "JWT" }).to_string())),
        ("no kid", under(r#"{"alg":"EdDSA","typ":"JWT"}"#)),
        ("kid as a path", under(&json!({ "alg": "EdDSA", "kid": "../../token.key", "typ": "JWT" }).to_string())),
        ("an embedded jwk", extra("jwk", jwk.clone())),
        ("a jku", extra("jku", json!("https://attacker.example/keys"))),
        ("an x5u", extra("x5u", json!("https://attacker.example/chain"))),
        ("an x5c", extra("x5c", json!(["MIIB"]))),
        ("a crit header", extra("crit", json!(["exp"]))),
        ("b64 off", extra("b64", json!(false))),
        ("zip", extra("zip", json!("DEF"))),
        ("header keys in another order", under(&format!(r#"{{"kid":"{kid}","alg":"EdDSA","typ":"JWT"}}"#))),
        ("a header with alg twice", under(&format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#))),
        ("another instance with our key", other_instance.sign(&ann(), HOST, NOW, &Chance::seeded(1))),
        ("another issuer", with(|claims| claims["iss"] = json!("registry.example"))),
        ("another audience", with(|claims| claims["aud"] = json!("other.example"))),
        ("a list of audiences", with(|claims| claims["aud"] = json!([HOST, "other.example"]))),
        ("an empty audience", with(|claims| claims["aud"] = json!(""))),
        ("expired", with(|claims| claims["exp"] = json!(seconds(NOW)))),
        ("expired long ago", with(|claims| claims["exp"] = json!(0))),
        ("never expires", with(|claims| claims["exp"] = json!(i64::MAX))),
        ("expires as text", with(|claims| claims["exp"] = json!("9999999999"))),
        ("expires beyond numbers", with(|claims| claims["exp"] = json!(1e30))),
        (
            "without an end",
            with(|claims| {
                claims.as_object_mut().unwrap().remove("exp");
            }),
        ),
        ("not yet", with(|claims| claims["nbf"] = json!(seconds(NOW) + 3_600))),
        ("made in the future", with(|claims| claims["iat"] = json!(seconds(NOW) + 3_600))),
        (
            "without a subject",
            with(|claims| {
                claims.as_object_mut().unwrap().remove("sub");
            }),
        ),
        ("a subject that is no id", with(|claims| claims["sub"] = json!("root"))),
        (
            "without a proof",
            with(|claims| {
                claims.as_object_mut().unwrap().remove("by");
            }),
        ),
        ("a proof of another kind", with(|claims| claims["by"] = json!("system:"))),
        ("a print that is too short", with(|claims| claims["by"] = json!("password:00"))),
        (
            "rights in it",
            with(|claims| claims["access"] = json!([{ "type": "repository", "name": "x", "actions": ["*"] }])),
        ),
        ("a claim twice", signer().sign_text(&twice)),
        ("claims that are a list", signer().sign_text("[]")),
        ("claims that are no JSON", signer().sign_text("x")),
        ("claims and more", {
            let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
            signer().sign_text(&format!("{claims}{claims}"))
        }),
        ("a changed claim", flipped(&good, header.len() + 20)),
        ("a changed signature", flipped(&good, good.len() - 10)),
        ("a signature cut short", good[..good.len() - 2].to_owned()),
        ("a signature of zeros", format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        ("loose bits at the end", {
            let mut text = good.clone();
            let last = text.pop().unwrap();
            text.push(if last == 'A' { 'B' } else { char::from(last as u8 + 1) });
            text
        }),
        ("a fourth segment", format!("{good}.x")),
        ("a fourth, empty segment", format!("{good}.")),
        ("a segment before it", format!("x.{good}")),
        ("five segments, as an encrypted token has", format!("{header}.{claims}.{claims}.{claims}.{signature}")),
        ("padding", format!("{good}==")),
        ("a padded header", format!("{header}=.{claims}.{signature}")),
        ("the alphabet of ordinary base64", format!("{header}.{claims}.{}", "+/".repeat(43))),
        ("a space before it", format!(" {good}")),
        ("a space behind it", format!("{good} ")),
        ("a line break behind it", format!("{good}\n")),
        ("a space inside", format!("{header}. {claims}.{signature}")),
        ("a NUL behind it", format!("{good}\0")),
        ("huge claims", with(|claims| claims["by"] = json!(format!("certificate:{}", "x".repeat(4_000))))),
        ("huge and of dots", ".".repeat(100_000)),
        ("the header in capitals", format!("{}.{claims}.{signature}", header.to_ascii_uppercase())),
        ("JSON in place of base64", format!("{{\"alg\":\"none\"}}.{claims}.{signature}")),
    ]
}

#[test]
fn what_we_sign_is_read_until_its_time_is_over() {
    let chance = Chance::seeded(1);
    for proof in [
        Proof::Password([3; 16]),
        Proof::Token([4; 32]),
        Proof::Certificate("uri:spiffe://factory/press-7".into()),
        Proof::Nothing,
    ] {
        let bearer = Bearer { proof, ..ann() };
        let token = signer().sign(&bearer, HOST, NOW, &chance);
        assert_eq!(signer().read(&token, HOST, NOW), Ok(bearer.clone()));
        assert_eq!(signer().read(&token, "Registry.Example:5000", NOW), Ok(bearer.clone()));
        let last = NOW.after(limits::BEARER_TOKEN - Duration::from_secs(1));
        assert_eq!(signer().read(&token, HOST, last), Ok(bearer.clone()));
        assert_eq!(signer().read(&token, HOST, NOW.after(limits::BEARER_TOKEN)), Err(TokenError::Expired));
        // A clock that was set back a little makes no token one of the future.
        assert_eq!(signer().read(&token, HOST, NOW.before(limits::BEARER_TOKEN_SKEW)), Ok(bearer));
        let too_early = NOW.before(limits::BEARER_TOKEN_SKEW + Duration::from_secs(1));
        assert_eq!(signer().read(&token, HOST, too_early), Err(TokenError::Expired));
        assert_eq!(signer().read(&token, "other.example", NOW), Err(TokenError::Audience));
    }
}

#[test]
fn forged_tokens_are_refused() {
    assert!(signer().read(&with(|_| {}), HOST, NOW).is_ok(), "the workshop itself makes good ones");
    let forged = forged();
    assert!(forged.len() >= 40, "{}", forged.len());
    for (name, token) in forged {
        assert!(signer().read(&token, HOST, NOW).is_err(), "{name}: {token}");
    }
}

#[test]
fn no_single_changed_byte_is_taken() {
    let good = token();
    for at in 0..good.len() {
        for byte in [b'A', b'z', b'0', b'-', b'.', b'='] {
            let mut bytes = good.clone().into_bytes();
            if bytes[at] == byte {
                continue;
            }
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            assert!(signer().read(&text, HOST, NOW).is_err(), "byte {at} as {byte}");
        }
    }
}

#[test]
fn the_key_is_made_once_and_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(TOKEN_KEY);
    let open = || Signer::open_or_create(&path, instance(), &Chance::system());
    let token = open().unwrap().sign(&ann(), HOST, NOW, &Chance::seeded(1));
    assert!(open().unwrap().read(&token, HOST, NOW).is_ok());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(), Err(TokenKeyError::File(FileError::Exposed { .. }))));
    private_file::write(&path, "something else\n", 0o600).unwrap();
    assert!(matches!(open(), Err(TokenKeyError::Malformed { .. })));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(open().unwrap().read(&token, HOST, NOW), Err(TokenError::Malformed), "another key, another kid");
}

#[test]
fn a_print_is_of_one_account_one_hash_and_one_key() {
    let (ann, bob) = (Id::from_bytes([2; 16]), Id::from_bytes([3; 16]));
    let print = signer().print(&ann, "$argon2id$x");
    assert!(same_print(&print, &signer().print(&ann, "$argon2id$x")));
    assert!(!same_print(&print, &signer().print(&ann, "$argon2id$y")));
    assert!(!same_print(&print, &signer().print(&bob, "$argon2id$x")));
    let other = Signer::new(Zeroizing::new([9; 32]), instance());
    assert!(!same_print(&print, &other.print(&ann, "$argon2id$x")));
}

#[test]
fn an_access_token_is_recognised_by_its_form() {
    let made = access::make(&Chance::system());
    let text = made.expose();
    assert_eq!(text.len(), 76);
    assert!(text.starts_with("tgp_") && text[4..].bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(access::hash(text), Some(Sha256::digest(text).into()));
    assert_ne!(access::make(&Chance::system()).expose(), text);
    let mut changed = text.to_owned().into_bytes();
    changed[10] = if changed[10] == b'0' { b'1' } else { b'0' };
    let changed = String::from_utf8(changed).unwrap();
    for bad in [
        "",
        "tgp_",
        "correct horse",
        &text[..75],
        &format!("{text}0"),
        &changed,
        &text.to_ascii_uppercase(),
        &format!("tgp_{}", "é".repeat(36)),
    ] {
        assert_eq!(access::hash(bad), None, "{bad}");
    }
}
