//! Loading, right and wrong. One interpreter for all, with `tests/apps/loadable` on its path.

use std::sync::Once;

use super::*;
use crate::{interpreter, raw};

fn loadable() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/loadable")
}

pub(crate) fn with_python<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    static START: Once = Once::new();
    START.call_once(|| {
        let settings = Settings {
            pythonpath: vec![loadable()],
            ..Settings::default()
        };
        interpreter::start(&settings).expect("Python starts");
        raw::park();
    });
    Python::attach(work)
}

fn load_target(target: AppTarget, callable: Option<&str>) -> Result<Vec<Application>, LoadError> {
    let spec = AppSpec {
        mountpoint: "/here".to_owned(),
        target,
    };
    let settings = Settings {
        apps: vec![spec],
        callable: callable.map(str::to_owned),
        ..Settings::default()
    };
    with_python(|py| load(py, &settings))
}

fn load_module(module: &str) -> Result<Vec<Application>, LoadError> {
    load_target(AppTarget::Module(module.to_owned()), None)
}

fn load_file(name: &str) -> Result<Vec<Application>, LoadError> {
    load_target(AppTarget::File(loadable().join(name), None), None)
}

/// What was loaded: mountpoint and target of each.
fn told(loaded: Result<Vec<Application>, LoadError>) -> Vec<(String, String)> {
    let loaded = loaded.unwrap_or_else(|error| panic!("{error:?}"));
    loaded
        .into_iter()
        .map(|application| (application.mountpoint, application.target))
        .collect()
}

fn one(target: &str) -> Vec<(String, String)> {
    vec![("/here".to_owned(), target.to_owned())]
}

/// An attribute of the module that a loaded function comes from.
fn module_attribute(loaded: &[Application], name: &str) -> String {
    with_python(|py| {
        let globals = loaded[0]
            .callable
            .bind(py)
            .getattr("__globals__")
            .expect("a function");
        globals.get_item(name).expect("a global").to_string()
    })
}

#[test]
fn the_default_callable_is_application() {
    assert_eq!(told(load_module("plain")), one("plain:application"));
}

#[test]
fn a_callable_can_be_an_attribute_a_factory_or_set_by_an_option() {
    assert_eq!(told(load_module("plain:site.wsgi")), one("plain:site.wsgi"));
    assert_eq!(told(load_module("plain:make()")), one("plain:make()"));
    let by_option = load_target(AppTarget::Module("other_name".to_owned()), Some("app"));
    assert_eq!(told(by_option), one("other_name:app"));
}

#[test]
fn a_dictionary_of_applications_is_as_many_mounts() {
    let expected = [("/here/one", "/one"), ("/here/two", "/two/"), ("/here", "")];
    let expected =
        expected.map(|(point, key)| (point.to_owned(), format!("several:applications[\"{key}\"]")));
    let found = told(load_module("several"));
    assert_eq!(
        (&found[0], found[1].0.as_str(), &found[2]),
        (&expected[0], "/here/two", &expected[2])
    );
    assert_eq!(found[1].1, "several:one");
}

#[test]
fn another_name_is_suggested() {
    let error = load_module("other_name").unwrap_err();
    let way_out = "it has \"app\": say module = other_name:app or callable = app";
    assert_eq!(
        error.message,
        format!("module \"other_name\" has no attribute \"application\"; {way_out}")
    );
    assert_eq!((error.traceback, error.exit_status), (None, None));
    let error = load_module("only_factory").unwrap_err();
    assert!(
        error
            .message
            .contains("say module = only_factory:create_app() or callable = create_app()")
    );
    let error = load_module("nothing").unwrap_err();
    assert!(
        error
            .message
            .ends_with("say which callable is the application with callable")
    );
}

#[test]
fn a_module_that_is_not_there_is_looked_for_in_places_that_are_named() {
    let error = load_module("config.wsgi").unwrap_err();
    let start = "config.wsgi: ModuleNotFoundError: No module named 'config': is chdir right? looked in ";
    assert!(
        error
            .message
            .starts_with(&format!("{start}{}, ", loadable().display())),
        "{}",
        error.message
    );
}

#[test]
fn what_only_uwsgi_has_is_not_asked_to_be_installed() {
    let error = load_module("decorated").unwrap_err();
    assert!(
        error.message.contains("cron and spoolers are not supported yet"),
        "{}",
        error.message
    );
}

#[test]
fn a_module_that_lacks_another_asks_for_the_right_home() {
    let error = load_module("bad_import").unwrap_err();
    let start =
        "bad_import: ModuleNotFoundError: No module named 'a_package_that_nobody_has': is it installed in /";
    assert!(error.message.starts_with(start), "{}", error.message);
    let traceback = error.traceback.expect("a traceback");
    assert!(
        traceback.contains("bad_import.py\", line 1, in <module>"),
        "{traceback}"
    );
}

#[test]
fn what_an_import_raises_is_told_with_its_traceback() {
    let error = load_module("bad_syntax").unwrap_err();
    assert!(
        error.message.starts_with("bad_syntax: SyntaxError: "),
        "{}",
        error.message
    );
    assert!(
        error.message.contains("(bad_syntax.py, line 1)"),
        "{}",
        error.message
    );
    let error = load_module("raises").unwrap_err();
    assert_eq!(error.message, "raises: ValueError: first");
    assert!(
        error
            .traceback
            .expect("a traceback")
            .ends_with("ValueError: first\nsecond")
    );
}

#[test]
fn sys_exit_is_the_wish_for_a_status() {
    assert_eq!(load_module("exits").unwrap_err().exit_status, Some(3));
    let error = load_module("exits_with_words").unwrap_err();
    assert_eq!(
        (error.exit_status, error.message.as_str()),
        (Some(1), "exits_with_words: SystemExit: no database")
    );
}

#[test]
fn what_cannot_be_called_is_refused() {
    assert_eq!(
        load_module("plain:anything").unwrap_err().message,
        "plain:anything is not callable: it is of type int"
    );
    let error = load_module("plain:make_nothing()").unwrap_err();
    assert_eq!(
        error.message,
        "plain:make_nothing() is not callable: it is of type NoneType"
    );
    let error = load_module("plain:make_badly()").unwrap_err();
    assert_eq!(error.message, "plain:make_badly(): LookupError: no settings");
    let error = load_module("plain:site.nothing").unwrap_err();
    assert!(
        error.message.starts_with("plain:site.nothing: AttributeError: "),
        "{}",
        error.message
    );
}

#[test]
fn the_interface_is_told_by_the_callable() {
    let interface = |name: &str| load_module(&format!("asynchronous:{name}")).unwrap()[0].interface;
    for name in ["function", "generator", "instance", "method", "partial"] {
        assert_eq!(interface(name), Interface::Asgi, "{name}");
    }
    assert_eq!(interface("synchronous"), Interface::Wsgi);
}

#[test]
fn a_file_is_a_module_of_its_own_name() {
    let loaded = load_file("in_a_file.wsgi").unwrap();
    let path = loadable().join("in_a_file.wsgi");
    let expected = format!(
        "uwsgi_file_{}",
        path.display().to_string().replace(['/', '.'], "_")
    );
    assert_eq!(module_attribute(&loaded, "name"), expected);
    assert_eq!(module_attribute(&loaded, "file"), path.display().to_string());
    assert!(module_attribute(&loaded, "module").contains(&expected));
}

#[test]
fn a_directory_is_its_init_file() {
    let loaded = load_file("in_a_directory").unwrap();
    let path = loadable().join("in_a_directory/__init__.py");
    assert_eq!(module_attribute(&loaded, "file"), path.display().to_string());
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_says_from_where() {
    let target = AppTarget::File("nowhere.py".into(), None);
    let error = load_target(target, None).unwrap_err();
    assert!(
        error.message.starts_with("wsgi-file: nowhere.py: No such file"),
        "{}",
        error.message
    );
    assert!(error.message.contains("(looked from /"), "{}", error.message);
}

#[test]
fn the_callable_of_a_file_can_be_named() {
    let target = AppTarget::File(loadable().join("other_name.py"), Some("app".to_owned()));
    assert!(load_target(target, None).is_ok());
    let error = load_file("other_name.py").unwrap_err();
    assert!(error.message.contains("say wsgi-file = "), "{}", error.message);
}
