//! Tells the root package where libpython lies.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    pyo3_build_config::use_pyo3_cfgs();
    if let Some(libdir) = &pyo3_build_config::get().lib_dir() {
        println!("cargo::metadata=libdir={libdir}");
        // The crate's own test binaries.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libdir}");
    }
}
