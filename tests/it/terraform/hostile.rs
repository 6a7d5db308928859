//! Sources that mean harm or are broken, each with the message it has to give; nothing is pushed and nothing is left behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::folder_job;
use crate::support::runner::Runner;

/// The message of a build of `src/mod` that must fail without a trace.
fn refused(spoil: impl FnOnce(&Path), kind: &str) -> String {
    let runner = Runner::new();
    let src = runner.work().join("src");
    runner.write("src/mod/main.tf", "output \"a\" { value = 1 }\n");
    spoil(&src);
    let failure = runner.job(&folder_job("mod")).done().failed(1, kind);
    let index = fs::read_to_string(runner.work().join("out/index.json")).unwrap_or_default();
    assert!(!index.contains("sha256:"), "nothing is pushed: {index}");
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    failure["message"].as_str().unwrap().to_owned()
}

fn write(file: &Path, content: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

#[test]
fn files_with_secrets_are_refused_by_name_all_at_once() {
    let key = ["AKIA", "Z7QXM2P4WJ5K8TRB"].concat();
    let text = refused(
        |src| {
            for (name, content) in [
                ("terraform.tfstate", "{}"),
                (".env", "A=b"),
                ("keys/server.pem", "-----BEGIN PRIVATE KEY-----\nx\n"),
                ("aws.tf", &format!("# \nlocals {{ k = \"{key}\" }}\n")),
                ("prod.tfvars", "left = \"out\""),
            ] {
                write(&src.join("mod").join(name), content);
            }
        },
        "InvalidSource",
    );
    assert_eq!(
        text,
        "these files would be published and carry secrets: 'mod/.env' (credentials), 'mod/aws.tf' (an access key in line 2), \
         'mod/keys/server.pem' (a private key), 'mod/terraform.tfstate' (state); remove them from the repository, or list them in \
         .terraformignore"
    );
    let runner = Runner::new();
    runner.write("src/mod/main.tf", "");
    runner.write("src/mod/terraform.tfstate", "{}");
    runner.write("src/mod/.terraformignore", "*.tfstate\n");
    runner.job(&folder_job("mod")).done().succeeded();
}

#[test]
fn links_that_lead_out_loop_or_dangle() {
    let text = refused(|src| symlink("/etc/passwd", src.join("mod/passwd.tf")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'mod/passwd.tf' leads out of the source to '/etc/passwd'; replace it by a copy, or list it in .terraformignore");
    let text = refused(|src| symlink("../../..", src.join("mod/up")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'mod/up' leads out of the source to '../../..'; replace it by a copy, or list it in .terraformignore");
    let text = refused(|src| symlink("..", src.join("mod/again")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'mod/again/mod/again' leads back to a folder it lies in; remove it, or list it in .terraformignore");
    let text = refused(|src| symlink("gone", src.join("mod/link")).unwrap(), "InvalidSource");
    assert!(text.starts_with("link 'mod/link' cannot be followed: No such file or directory"), "{text}");
}

#[test]
fn names_and_files_nobody_can_unpack() {
    let text = refused(|src| fs::write(src.join("mod").join(OsStr::from_bytes(b"\xff.tf")), "").unwrap(), "InvalidSource");
    assert_eq!(text, "the name 'mod/\u{fffd}.tf' is not UTF-8; rename the file");
    let text = refused(|src| fs::write(src.join("mod/a\nb"), "").unwrap(), "InvalidSource");
    assert!(text.contains("cannot be packed: names are relative, without '..', backslash or control characters"), "{text}");
    let text = refused(|src| nix::unistd::mkfifo(&src.join("mod/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap(), "InvalidSource");
    assert!(text.contains("mod/pipe") && text.contains("pipe"), "{text}");
}

#[test]
fn configuration_that_is_none() {
    let text = refused(|src| write(&src.join("mod/bad.tf"), "output \"b\" {\n  value = [1, 2\n}\n"), "InvalidSource");
    assert_eq!(text, "mod/bad.tf:3:1: expected ',' or ']', found '}'; `tofu fmt` shows the place as well");
    let text = refused(|src| write(&src.join("mod/bad.tf.json"), "{\"output\": }"), "InvalidSource");
    assert!(text.starts_with("mod/bad.tf.json:1:12: not valid JSON: expected value"), "{text}");
    let text = refused(|src| write(&src.join("mod/deep.tf"), &format!("a = {}", "[".repeat(100_000))), "InvalidSource");
    assert!(text.starts_with("mod/deep.tf:1:") && text.contains("more than 100 levels of nesting"), "{text}");
    let text = refused(|src| fs::rename(src.join("mod/main.tf"), src.join("mod/main.txt")).unwrap(), "InvalidSource");
    assert_eq!(
        text,
        "'mod' has no .tf, .tofu, .tf.json or .tofu.json file that is packed; set git_source.path to the folder of the module"
    );
}

#[test]
fn modules_that_cannot_be_had() {
    let call = |address: &str| {
        let text = format!("\nmodule \"x\" {{\n  source = \"{address}\"\n}}\n");
        refused(|src| write(&src.join("mod/call.tf"), &text), "InvalidSource")
    };
    assert_eq!(
        call("../missing"),
        "mod/call.tf:2: module 'x' has the source '../missing', and the source has no folder 'missing'; correct the path"
    );
    assert_eq!(
        call("../../etc"),
        "mod/call.tf:2: module 'x' has the source '../../etc', which leads out of the source: set git_source.url to the whole repository and \
         git_source.path to the module, or name the module by an address that is not relative"
    );
    let text = refused(
        |src| {
            write(&src.join("mod/call.tf"), "module \"x\" { source = \"../link\" }\n");
            symlink("/etc", src.join("link")).unwrap();
        },
        "InvalidSource",
    );
    assert_eq!(text, "mod/call.tf:1: module 'x' has the source '../link', and the source has no folder 'link'; correct the path");
}

#[test]
fn rules_that_cannot_be_understood_publish_nothing() {
    let text = refused(|src| write(&src.join("mod/.terraformignore"), "# keep out\n[z-a]\n"), "InvalidSource");
    assert!(text.starts_with("mod/.terraformignore: line 2: '[z-a]' is no pattern: "), "{text}");
}
