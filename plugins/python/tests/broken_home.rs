//! A `home` whose standard library is not whole: an error to be told, not the end of the process.

use uwrs_python::Settings;

#[test]
fn a_python_that_does_not_start_is_an_error() {
    let version = String::from_utf8_lossy(
        &std::process::Command::new(env!("UWRS_BASE_PYTHON"))
            .args(["-c", "import sys; print('%d.%d' % sys.version_info[:2], end='')"])
            .output()
            .expect("Python runs")
            .stdout,
    )
    .into_owned();
    let home = std::env::temp_dir().join(format!("uwrs-broken-home-{}", std::process::id()));
    let library = home.join(format!("lib/python{version}"));
    std::fs::create_dir_all(&library).expect("a directory");
    std::fs::write(library.join("os.py"), "").expect("a file");

    let settings = Settings {
        home: Some(home.clone()),
        ..Settings::default()
    };
    let error = uwrs_python::start(settings).err().expect("it cannot start");
    let start = format!("home: Python {version} does not start in {}: ", home.display());
    assert!(error.message.starts_with(&start), "{}", error.message);
    std::fs::remove_dir_all(&home).expect("the directory is there");
}
