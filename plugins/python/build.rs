//! Tells the root package where libpython lies, and this crate which Python it is built against.

use pyo3_build_config::InterpreterConfig;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    pyo3_build_config::use_pyo3_cfgs();
    let config = pyo3_build_config::get();
    if let Some(libdir) = config.lib_dir() {
        println!("cargo::metadata=libdir={libdir}");
        // The crate's own test binaries.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libdir}");
    }
    println!("cargo::rustc-env=UWRS_BASE_PYTHON={}", base_executable(config));
}

/// The Python behind the one that the build was given, which may be a virtualenv's; empty where it can't be asked.
fn base_executable(config: &InterpreterConfig) -> String {
    let script = "import sys; print(getattr(sys, '_base_executable', None) or sys.executable)";
    let answer = config.run_python_script(script).unwrap_or_default();
    answer.trim().to_owned()
}
