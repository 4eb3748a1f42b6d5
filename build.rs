//! Lets the program find the libpython it was built against, where it was built.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Told by plugins/python/build.rs; absent in a build without Python.
    if let Ok(libdir) = std::env::var("DEP_UWRS_PYTHON_LIBDIR") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libdir}");
    }
}
