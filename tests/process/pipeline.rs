//! The main job, end to end: an engine builds an image of a real root file
//! system and pushes it; it is promoted, mirrored to a second registry, and
//! images come in from there on a schedule; every copy is pulled and hashed.

use std::path::Path;
use std::time::Duration;

use crate::support::{
    ADMIN, Client, Daemon, Engine, Image, Layout, Namespace, PASSWORD, Run as _, SecondRegistry, debian_tar, measured,
    output, program, sha256, turn, until_some,
};

/// How soon after the end of the push the promoted tag is there.
const PROMOTED_WITHIN: Duration = Duration::from_secs(1);
/// How soon the other registry has it: some 80 MB are sent and hashed.
const MIRRORED_WITHIN: Duration = Duration::from_secs(60);
/// How soon a repository that is filled every second has what appeared there.
const PULLED_WITHIN: Duration = Duration::from_secs(20);

const MANIFESTS: &str = "Accept: application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// What the whole story plays with.
struct Stage<'a> {
    folder: &'a Path,
    daemon: &'a Daemon,
    second: &'a SecondRegistry,
    engine: &'a Engine<'a>,
    namespace: &'a Namespace,
}

#[tokio::test]
async fn an_image_goes_through_the_pipeline_and_comes_back_whole() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new();
    let second = SecondRegistry::start(folder.path(), &namespace).await;
    let daemon = Daemon::start(folder.path(), Some(&namespace)).await;
    let engine = Engine::start(folder.path(), &namespace).await;
    let stage =
        Stage { folder: folder.path(), daemon: &daemon, second: &second, engine: &engine, namespace: &namespace };

    engine.trust(daemon.address(), &daemon.ca());
    engine.trust(&SecondRegistry::address(), &second.trust().join("ca.crt"));
    stage.refuses_who_may_not();
    let built = stage.build();
    stage.refuses_a_repository_that_is_not_there();
    stage.policies();
    let (digest, tag) = stage.push_and_follow().await;
    let (incoming, incoming_id) = stage.pick_up_what_appears_there().await;

    let here = daemon.address();
    let there = SecondRegistry::address();
    stage.same_everywhere(
        &built,
        &[
            (daemon.admin(), here, "dev/website", "1.4-stable", &digest),
            (daemon.admin(), here, "qa/website", &tag, &digest),
            (second.client().clone(), &there, "edge/website", &tag, &digest),
        ],
    );
    stage.same_everywhere(
        &incoming_id,
        &[
            (second.client().clone(), &there, "edge/incoming", "7.1", &incoming),
            (daemon.admin(), here, "back/website", "7.1", &incoming),
        ],
    );
    stage.mounts_in_a_second_repository(&built);
    stage.pulls_its_own_platform_of_an_index();
    stage.says_why(&tag);
    assert!(second.said().contains("useragent=tidegate/"), "mirrors say who they are\n{}", second.said());
    let verified = daemon.cli(&["verify"]).good();
    assert!(verified.starts_with("clean"), "{verified}");
    engine.stop().await;
    daemon.stop().await;
}

impl Stage<'_> {
    /// Signing in with a wrong password is refused, and so is a push by nobody.
    fn refuses_who_may_not(&self) {
        let host = self.daemon.address();
        let wrong = self.engine.login(host, ADMIN, "not the password").refused();
        assert!(wrong.contains("unauthorized: the name or the password is wrong"), "{wrong}");
        self.engine.login(host, ADMIN, PASSWORD).good();
        self.engine.run(&["logout", host]).good();
        let wrong = self.engine.login(host, ADMIN, "not the password either").refused();
        assert!(wrong.contains("unauthorized: the name or the password is wrong"), "{wrong}");
        self.engine.login(host, ADMIN, PASSWORD).good();
        let there = SecondRegistry::address();
        self.engine.login(&there, SecondRegistry::USER, SecondRegistry::PASSWORD).good();
    }

    /// Builds `dev/website:1.4-stable`: Debian and a layer above it. Gives its id.
    fn build(&self) -> String {
        let (tar, context) = (debian_tar(), self.folder.join("context"));
        self.engine.run(&["import", tar.to_str().unwrap(), "debian:base"]).good();
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("index.html"), "<h1>the website, 1.4</h1>\n").unwrap();
        std::fs::write(context.join("Dockerfile"), "FROM debian:base\nCOPY index.html /srv/\nCMD [\"/bin/sh\"]\n")
            .unwrap();
        let name = self.named("dev/website:1.4-stable");
        self.engine.run(&["build", "--tag", &name, context.to_str().unwrap()]).good();
        self.engine.image_id(&name)
    }

    fn refuses_a_repository_that_is_not_there(&self) {
        let told = self.engine.run(&["push", &self.named("dev/website:1.4-stable")]).refused();
        assert!(told.contains("tidegate repository create dev/website"), "{told}");
    }

    fn policies(&self) {
        for name in ["dev/website", "dev/copy", "qa/website", "back/website"] {
            self.daemon.cli(&["repository", "create", name]).good();
        }
        let promotion =
            ["promotion", "create", "dev/website", "qa/website", "--rule", "tag ew -stable", "--tag-template", "%n-%Y"];
        self.daemon.cli(&promotion).good();
        let (ca, there) = (self.second.trust().join("ca.crt"), format!("https://{}", SecondRegistry::address()));
        let far =
            ["--remote", &there, "--ca", ca.to_str().unwrap(), "--username", SecondRegistry::USER, "--password-stdin"];
        let push = ["push-mirror", "create", "qa/website", "--remote-repository", "edge/website"];
        self.daemon.cli_with(&[&push[..], &far].concat(), SecondRegistry::PASSWORD).good();
        // A mirror is saved for a repository that is there.
        self.second.receive(self.namespace, &Image::new("amd64", "what was there before"), "edge/incoming:7.0");
        let pull = ["pull-mirror", "create", "back/website", "--remote-repository", "edge/incoming"];
        let every_second = ["--schedule", "* * * * * *"];
        self.daemon.cli_with(&[&pull[..], &every_second, &far].concat(), SecondRegistry::PASSWORD).good();
    }

    /// Pushes, and follows the image to the promoted tag and to the other
    /// registry. Gives its digest and its promoted tag.
    async fn push_and_follow(&self) -> (String, String) {
        let told = self.engine.run(&["push", &self.named("dev/website:1.4-stable")]).good();
        let admin = self.daemon.admin();
        let promoted = || {
            let tags = admin.get("/v2/qa/website/tags/list").json();
            tags["tags"].as_array().and_then(|tags| tags.first()?.as_str().map(str::to_owned))
        };
        let (tag, took) = until_some("qa/website has the image", PROMOTED_WITHIN, promoted).await;
        measured(&format!("promoted {took:?} after the push ended"));
        let digest = told.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned();
        assert!(tag.starts_with("1.4-stable-20") && tag.len() == "1.4-stable-2026".len(), "{tag}");
        assert_eq!(digest_of(&admin, "qa/website", &tag).as_deref(), Some(&*digest));
        let mirrored = || digest_of(self.second.client(), "edge/website", &tag);
        let (found, took) = until_some("the second registry has the image", MIRRORED_WITHIN, mirrored).await;
        measured(&format!("mirrored {took:?} after that"));
        assert_eq!(found, digest);
        (digest, tag)
    }

    /// `skopeo` puts an image into the other registry, and the repository that
    /// polls it has it soon. Gives the image's digest and id.
    async fn pick_up_what_appears_there(&self) -> (String, String) {
        let image = Image::new("amd64", "what the other side made");
        let digest = self.second.receive(self.namespace, &image, "edge/incoming:7.1");
        let arrived = || digest_of(&self.daemon.admin(), "back/website", "7.1");
        let (found, took) = until_some("the pull mirror brings it", PULLED_WITHIN, arrived).await;
        measured(&format!("pulled {took:?} after it was there"));
        assert_eq!(found, digest);
        (digest, image.config_digest())
    }

    /// The engine pulls every copy afresh and has the image `id` each time; and
    /// every blob, fetched by curl, hashes to its name.
    fn same_everywhere(&self, id: &str, copies: &[(Client, &str, &str, &str, &String)]) {
        for (client, host, repository, tag, digest) in copies {
            self.engine.forget_images();
            let name = format!("{host}/{repository}:{tag}");
            let told = self.engine.run(&["pull", &name]).good();
            assert!(told.contains(digest.as_str()), "{told}");
            assert_eq!(self.engine.image_id(&name), id, "{name}");
            self.blobs_hash_right(client, repository, digest);
        }
    }

    fn blobs_hash_right(&self, client: &Client, repository: &str, digest: &str) {
        let manifest = client.send("GET", &format!("/v2/{repository}/manifests/{digest}"), &[MANIFESTS], b"").is(200);
        let fetched = self.folder.join("fetched");
        let check = |body: &[u8], digest: &str| {
            std::fs::write(&fetched, body).unwrap();
            assert_eq!(format!("sha256:{}", sha256(&fetched)), digest, "{repository}");
        };
        check(&manifest.body, digest);
        let manifest = manifest.json();
        let blobs: Vec<String> = std::iter::once(&manifest["config"])
            .chain(manifest["layers"].as_array().unwrap())
            .map(|blob| blob["digest"].as_str().unwrap().to_owned())
            .collect();
        let get =
            |blob: &str| client.send("GET", &format!("/v2/{repository}/blobs/{blob}"), &["Accept: */*"], b"").is(200);
        let config = get(&blobs[0]).json();
        for (at, blob) in blobs.iter().enumerate() {
            let body = get(blob).body;
            check(&body, blob);
            let Some(layer) = at.checked_sub(1) else { continue };
            // The configuration knows each layer by its content, unpacked.
            let content =
                if body.starts_with(&[0x1f, 0x8b]) { output(program("gzip").arg("-dc"), &body).stdout } else { body };
            check(&content, config["rootfs"]["diff_ids"][layer].as_str().unwrap());
        }
    }

    /// The engine knows that the layers are in `dev/website` and asks to have
    /// them mounted; nothing is sent twice.
    fn mounts_in_a_second_repository(&self, built: &str) {
        self.engine.forget_images();
        let (from, to) = (self.named("dev/website:1.4-stable"), self.named("dev/copy:1.0"));
        self.engine.run(&["pull", &from]).good();
        assert_eq!(self.engine.image_id(&from), built);
        self.engine.run(&["tag", &from, &to]).good();
        let told = self.engine.run(&["push", &to]).good();
        assert_eq!(told.matches("Mounted from dev/website").count(), 2, "{told}");
    }

    /// `skopeo` pushes an index of two platforms; the engine finds its own in it.
    fn pulls_its_own_platform_of_an_index(&self) {
        let images = [Image::new("arm64", "for another machine"), Image::new("amd64", "for this one")];
        let (layout, name) = (self.folder.join("index"), self.named("dev/website:2.0"));
        let index = Layout(&layout).write_index(&images);
        let account = format!("{ADMIN}:{PASSWORD}");
        let trust = self.daemon.trust();
        let mut skopeo = self.namespace.program("skopeo");
        skopeo.args(["copy", "--all", "--preserve-digests", "--dest-creds", &account, "--dest-cert-dir"]).arg(trust);
        skopeo.arg(format!("oci:{}", layout.display())).arg(format!("docker://{name}")).run().good();
        let told = self.engine.run(&["pull", "--platform", "linux/amd64", &name]).good();
        assert!(told.contains(&index), "{told}");
        assert_eq!(self.engine.image_id(&name), images[1].config_digest());
    }

    /// `why` names policy, rule, operator, value seen and result.
    fn says_why(&self, tag: &str) {
        let policies = self.daemon.cli(&["--json", "promotion", "list", "dev/website"]).good();
        let policies: serde_json::Value = serde_json::from_str(&policies).unwrap();
        let id = policies[0]["id"].as_str().unwrap();
        let told = self.daemon.cli(&["why", "dev/website:1.4-stable"]).good();
        for part in [id, "promotion", "tag ew -stable", "1.4-stable", &format!("qa/website:{tag}")] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        let told = self.daemon.cli(&["why", &format!("qa/website:{tag}")]).good();
        assert!(told.contains("promoted from dev/website:") && told.contains("push_mirror"), "{told}");
        let told = self.daemon.cli(&["why", "back/website:7.1"]).good();
        assert!(told.contains(Namespace::THERE) && told.contains("edge/incoming"), "{told}");
    }

    fn named(&self, image: &str) -> String {
        format!("{}/{image}", self.daemon.address())
    }
}

/// The digest that `tag` has, by a HEAD of its manifest; none where it is not.
fn digest_of(client: &Client, repository: &str, tag: &str) -> Option<String> {
    let answer = client.send("HEAD", &format!("/v2/{repository}/manifests/{tag}"), &[MANIFESTS], b"");
    answer.header("docker-content-digest").filter(|_| answer.status == 200).map(str::to_owned)
}
