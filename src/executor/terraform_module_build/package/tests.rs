use super::*;
use std::fs;

fn source(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, data) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, data).expect("written");
    }
    dir
}

fn packed(dir: &tempfile::TempDir, module: &str) -> Result<Package, String> {
    assemble(dir.path(), &dir.path().join(module), Values::Excluded, Cancel::new()).map_err(|error| error.to_string())
}

fn content(package: &Package, name: &str) -> String {
    let file = package.files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("{name} is packed"));
    match &file.content {
        Content::Kept(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Content::OnDisk(path) => fs::read_to_string(path).expect("readable"),
    }
}

fn names(package: &Package) -> Vec<&str> {
    package.files.iter().map(|file| file.name.as_str()).collect()
}

fn notes(package: &Package) -> Vec<String> {
    package.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_module_that_needs_nothing_else_is_packed_as_it_is() {
    let main = "module \"sub\" {\n  source = \"./sub\"\n}\n";
    let dir = source(&[
        ("mod/main.tf", main),
        ("mod/sub/main.tf", ""),
        ("mod/README.md", "x"),
        ("other/main.tf", ""),
        ("mod/dev.tfvars", "a = 1"),
    ]);
    let package = packed(&dir, "mod").expect("packed");
    assert_eq!(names(&package), ["README.md", "main.tf", "sub/main.tf"]);
    assert_eq!(content(&package, "main.tf"), main);
    assert_eq!(
        notes(&package),
        ["left out, because they carry values: 'mod/dev.tfvars'; terraform_build_plan.tfvars \"include\" packs them"]
    );
    let all = assemble(dir.path(), &dir.path().join("mod"), Values::Included, Cancel::new()).expect("packed");
    assert_eq!(names(&all), ["README.md", "dev.tfvars", "main.tf", "sub/main.tf"]);
}

#[test]
fn modules_beside_it_are_mirrored_and_named_anew() {
    let main = "# byte\r\nmodule \"net\" { source = \"../../modules/net/\" } # for byte\nmodule \"sub\" {\n source=\"./sub\"\n}";
    let net = "module \"dns\" { source = \"../dns\" }\nmodule \"back\" { source = \"../../live/app/sub\" }\n";
    let json = "{\"module\": {\"net\": {\"source\": \"../../../modules/net\"}}}";
    let dir = source(&[
        ("live/app/main.tf", main),
        ("live/app/sub/x.tf.json", json),
        ("modules/net/main.tf", net),
        ("modules/net/policy.json", "{}"),
        ("modules/dns/main.tf", ""),
        ("modules/unused/main.tf", ""),
    ]);
    let package = packed(&dir, "live/app").expect("packed");
    assert_eq!(
        names(&package),
        [
            ".modules/live/app/sub/x.tf.json",
            ".modules/modules/dns/main.tf",
            ".modules/modules/net/main.tf",
            ".modules/modules/net/policy.json",
            "main.tf",
            "sub/x.tf.json"
        ]
    );
    assert_eq!(content(&package, "main.tf"), main.replace("../../modules/net/", "./.modules/modules/net"));
    assert_eq!(content(&package, "sub/x.tf.json"), json.replace("../../../modules/net", "../.modules/modules/net"));
    assert_eq!(content(&package, ".modules/modules/net/main.tf"), net);
    assert_eq!(content(&package, ".modules/live/app/sub/x.tf.json"), json, "the mirror lies as the source does");
    let from: Vec<_> = package.mirrored.iter().map(|mirrored| (mirrored.from.as_str(), mirrored.to.as_str())).collect();
    assert_eq!(
        from,
        [("live/app/sub", ".modules/live/app/sub"), ("modules/dns", ".modules/modules/dns"), ("modules/net", ".modules/modules/net")]
    );
    assert_eq!(notes(&package)[0], "live/app/main.tf:2: module 'net': source '../../modules/net/' is packed as './.modules/modules/net'");
}

#[test]
fn an_example_may_call_the_module_around_it() {
    let dir = source(&[("main.tf", ""), ("examples/all/main.tf", "module \"it\" {\n  source = \"../../\"\n}\n")]);
    let package = packed(&dir, "examples/all").expect("packed");
    assert_eq!(names(&package), [".modules/examples/all/main.tf", ".modules/main.tf", "main.tf"]);
    assert_eq!(content(&package, "main.tf"), "module \"it\" {\n  source = \"./.modules\"\n}\n");
    assert_eq!(names(&packed(&dir, "").expect("packed")), ["examples/all/main.tf", "main.tf"], "and is packed as it is with it");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let fails = |files: &[(&str, &str)]| packed(&source(files), "mod").expect_err("refused");
    for (files, message) in [
        (
            vec![("mod/main.tf", "\nmodule \"a\" {\n  source = \"../missing\"\n}")],
            "mod/main.tf:2: module 'a' has the source '../missing', and the source has no folder 'missing'; correct the path",
        ),
        (
            vec![("mod/main.tf", "module \"a\" { source = \"./gone\" }")],
            "mod/main.tf:1: module 'a' has the source './gone', and the source has no folder 'mod/gone'; correct the path",
        ),
        (
            vec![("mod/main.tf", "module \"a\" { source = \"../../x\" }")],
            "mod/main.tf:1: module 'a' has the source '../../x', which leads out of the source: set git_source.url to the whole repository and \
             git_source.path to the module, or name the module by an address that is not relative",
        ),
        (
            vec![("mod/main.tf", "module \"a\" { source = \"./sub\" }"), ("mod/sub/main.tf", ""), ("mod/.terraformignore", "sub/")],
            "mod/main.tf:1: module 'a' has the source './sub', and no .tf or .tf.json file of the folder 'mod/sub' is packed; correct the path, or \
             mend .terraformignore",
        ),
        (
            vec![("mod/main.tf", "module \"a\" { source = \"../b\" }"), ("b/main.tf", "x = \n")],
            "b/main.tf:1:5: expected an expression, found the end of the line; `tofu fmt` shows the place as well",
        ),
        (
            vec![("mod/README.md", ""), ("mod/a/main.tf", "")],
            "'mod' has no .tf, .tofu, .tf.json or .tofu.json file that is packed; set git_source.path to the folder of the module (there are some in 'mod/a')",
        ),
        (
            vec![("mod/main.tf", "module \"a\" { source = \"../b\" }"), ("b/main.tf", ""), ("mod/.modules/x", "")],
            "the module has a folder '.modules' of its own, where the modules it calls by '../' go; rename it",
        ),
        (
            vec![("mod/main.tf", "module \"a\" { source = \"../b\" }"), ("b/main.tf", ""), ("b/x.tfstate", "{}"), ("mod/.env", "A=b")],
            "these files would be published and carry secrets: 'b/x.tfstate' (state), 'mod/.env' (credentials); remove them from the repository, \
             or list them in .terraformignore",
        ),
    ] {
        assert_eq!(fails(&files), message);
    }
}

#[test]
fn what_nobody_asked_for_is_a_warning() {
    let dir = source(&[
        (
            "mod/main.tf",
            "x = file(\"${path.module}/../common.json\")\ny = file(\"${path.module}/sub/../ok.json\")\nmodule \"v\" { source = var.v }\nmodule \"w\" { source = \"..\\\\w\" }",
        ),
        ("mod/ok.json", ""),
        ("mod/test/main.tf", "module \"a\" { source = \"../../gone\" }"),
        ("mod/broken/main.tf", "]"),
    ]);
    let package = packed(&dir, "mod").expect("packed");
    assert_eq!(
        notes(&package),
        [
            "mod/main.tf:1: '${path.module}/../common.json' is not in the package, which has the module's folder and the modules it calls; move \
             it into the module's folder",
            "mod/main.tf:3: the source of module 'v' is computed; whatever it names is not looked for",
            "mod/main.tf:4: module 'w' has the source '..\\w', which is a folder on Windows only and is not packed; write '../w'",
            "mod/broken/main.tf:1:1: expected an argument or a block, found ']'; `tofu fmt` shows the place as well (the module itself does not \
             need it)",
            "mod/test/main.tf:1: module 'a' has the source '../../gone', and the source has no folder 'gone'; correct the path (the module \
             itself does not need it)",
        ]
    );
}

#[test]
fn a_link_does_not_hide_what_it_leads_to() {
    let dir = source(&[("mod/main.tf", ""), ("terraform.tfstate", "{}"), ("prod.tfvars", "a = 1")]);
    std::os::unix::fs::symlink("../prod.tfvars", dir.path().join("mod/values.txt")).expect("linked");
    assert_eq!(names(&packed(&dir, "mod").expect("packed")), ["main.tf"]);
    std::os::unix::fs::symlink("../terraform.tfstate", dir.path().join("mod/data.json")).expect("linked");
    assert!(packed(&dir, "mod").is_err_and(|error| error.contains("'mod/data.json' (state)")));
    assert!(packed(&dir, "nope").is_err());
}

#[test]
fn what_a_linked_module_calls_lies_beside_what_the_link_leads_to() {
    let dir = source(&[
        ("mod/main.tf", "module \"a\" { source = \"./l\" }\nmodule \"d\" { source = \"./deep/m\" }"),
        ("b/main.tf", "module \"c\" { source = \"../c\" }"),
        ("c/main.tf", "module \"e\" { source = \"./n\" }"),
        ("far/e/main.tf", "module \"f\" { source = \"../f\" }"),
        ("far/f/main.tf", ""),
        ("mod/s/main.tf", "module \"t\" { source = \"../t\" }"),
        ("mod/t/main.tf", ""),
    ]);
    fs::create_dir(dir.path().join("mod/deep")).expect("made");
    for (link, target) in [("mod/l", "../b"), ("mod/deep/m", "../s"), ("c/n", "../far/e")] {
        std::os::unix::fs::symlink(target, dir.path().join(link)).expect("linked");
    }
    let package = packed(&dir, "mod").expect("packed");
    for (file, text) in [
        ("l/main.tf", "module \"c\" { source = \"../.modules/c\" }"),
        (".modules/c/n/main.tf", "module \"f\" { source = \"../../far/f\" }"),
        ("deep/m/main.tf", "module \"t\" { source = \"../../t\" }"),
        ("s/main.tf", "module \"t\" { source = \"../t\" }"),
    ] {
        assert_eq!(content(&package, file), text, "{file}");
    }
    assert!(names(&package).contains(&".modules/far/f/main.tf"));
}

#[test]
fn large_files_stay_on_disk() {
    let dir = source(&[("mod/main.tf", ""), ("mod/large", &"x".repeat(200 << 10))]);
    let package = packed(&dir, "mod").expect("packed");
    assert!(matches!(package.files[0], File { content: Content::OnDisk(_), size: 204_800, .. }));
}

#[test]
fn what_opentofu_passes_over_is_not_needed() {
    let call = |name: &str, source: &str| format!("module \"{name}\" {{\n  source = {source}\n}}\n");
    let dir = source(&[
        ("mod/main.tf", &call("a", "\"../gone\"")),
        ("mod/main.tofu", &format!("{}variable \"x\" {{}}\n", call("a", "(\"../a\")"))),
        ("mod/more.tf", &format!("{}resource \"r\" \"r\" {{}}\n", call("b", "\"./gone\""))),
        ("mod/b_override.tf", &format!("{}resource \"r\" \"r\" {{}}\n", call("b", "\"../b\""))),
        ("mod/broken.tf", "]"),
        ("mod/broken.tofu", ""),
        ("a/main.tf", &call("c", "\"../c\"")),
        ("b/main.tf", ""),
        ("c/main.tf", ""),
    ]);
    let package = packed(&dir, "mod").expect("packed");
    assert_eq!(content(&package, "main.tofu"), format!("{}variable \"x\" {{}}\n", call("a", "(\"./.modules/a\")")));
    assert_eq!(content(&package, "b_override.tf"), format!("{}resource \"r\" \"r\" {{}}\n", call("b", "\"./.modules/b\"")));
    let mirrored: Vec<_> = package.mirrored.iter().map(|mirrored| mirrored.from.as_str()).collect();
    assert_eq!(mirrored, ["a", "b", "c"]);
    assert_eq!((package.about.resources, package.about.required_variables.len()), (1, 1));
    let warnings: Vec<_> = package.notes.iter().filter(|note| matches!(note, Note::Warning(_))).map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.ends_with("(the module itself does not need it)")), "{warnings:?}");
}

#[test]
fn what_is_needed_is_looked_at_before_what_is_passed_over() {
    let dir = source(&[
        ("mod/main.tf", "module \"a\" { source = \"./a\" }"),
        ("mod/main.tofu", "module \"b\" { source = \"./b\" }"),
        ("mod/a/main.tf", "module \"c\" { source = \"../c\" }"),
        ("mod/b/main.tf", "module \"c\" { source = \"../c\" }"),
        ("mod/c/main.tf", "module \"d\" { source = \"./gone\" }"),
    ]);
    assert!(packed(&dir, "mod").expect_err("c is needed").starts_with("mod/c/main.tf:1: module 'd'"));
}
