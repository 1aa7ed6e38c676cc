//! `cargo xtask deb`: the Debian packages, out of the built programs and the plug-ins;
//! packaging/README.md says what is decided about them.
//!
//! Decides owner, modes and times of everything inside, so that the same input gives the same
//! bytes. Refuses to leave out a unit, and to pack a program whose debugging symbols could not be
//! taken out. What a program needs, and what a control file looks like, Debian's own tools say.

mod contents;
mod third_party;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use contents::{COMPLETIONS, How, Made, PACKAGES, Package, SCRIPTS};

/// How the programs were built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// For trying: built and packed fast.
    Dev,
    /// For people.
    Release,
}

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How the programs are built
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// Where the packages go [default: target/deb]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Pack the programs of this folder instead of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// The packages could not be made.
#[derive(Debug)]
enum Failure {
    System { what: String, source: std::io::Error },
    Tool { what: String, said: String },
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System { what, source } => write!(f, "{what}: {source}"),
            Self::Tool { what, said } => write!(f, "{what} failed:\n{said}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// Says what was tried when the system refused.
trait At<T> {
    fn at(self, what: impl std::fmt::Display) -> Result<T, Failure>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, what: impl std::fmt::Display) -> Result<T, Failure> {
        self.map_err(|source| Failure::System { what: what.to_string(), source })
    }
}

pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    match make(root, options) {
        Ok(packages) => {
            for package in packages {
                println!("{}", package.display());
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("cargo xtask deb: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn make(root: &Path, options: &Options) -> Result<Vec<PathBuf>, Failure> {
    let binaries = match &options.binaries {
        Some(folder) => folder.clone(),
        None => build(root, options.profile)?,
    };
    let output = options.output.clone().unwrap_or_else(|| root.join("target/deb"));
    fs::create_dir_all(&output).at(output.display())?;
    let output = output.canonicalize().at(output.display())?;
    let folder = tempfile::Builder::new().prefix("parsec-deb").tempdir().at("a folder to work in")?;
    let work = Work::new(root, folder.path())?;
    let made = made(&binaries, root, &folder.path().join("made"))?;
    let forgotten = contents::forgotten(root, &made).at("systemd")?;
    if !forgotten.is_empty() {
        return Err(Failure::Refused(format!(
            "no package takes {}: name it in tests/xtask/deb/contents.rs",
            forgotten.join(", ")
        )));
    }
    PACKAGES.iter().map(|package| work.package(package, &binaries, &made, options.profile, &output)).collect()
}

/// Builds the programs; returns the folder they are in.
fn build(root: &Path, profile: Profile) -> Result<PathBuf, Failure> {
    let mut cargo = super::run_tests::cargo(root);
    cargo.args(["build", "--locked", "--bins", "--profile"]);
    cargo.arg(match profile {
        Profile::Dev => "dev",
        Profile::Release => "release",
    });
    for package in ["parsecd", "parsecctl", "parsec-metadata"] {
        cargo.args(["--package", package]);
    }
    if !cargo.status().at("cargo")?.success() {
        return Err(Failure::Refused("the programs could not be built".to_owned()));
    }
    // This program is in the folder of its own profile, wherever the target folder is.
    let own = std::env::current_exe().at("the folder of this program")?;
    let target = own.parent().and_then(Path::parent).unwrap_or(root);
    Ok(target.join(match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    }))
}

/// Lets parsecctl write its completions, and takes the pages of `docs/man`.
fn made(binaries: &Path, root: &Path, folder: &Path) -> Result<Made, Failure> {
    let mut made = Made::default();
    let parsecctl = binaries.join("parsecctl");
    fs::create_dir_all(folder).at(folder.display())?;
    for (shell, to) in COMPLETIONS {
        let text = tool(Command::new(&parsecctl).args(["completion", shell]))?;
        let path = folder.join(shell);
        fs::write(&path, text).at(path.display())?;
        made.completions.push((path, to));
    }
    // A test holds these pages against the programs.
    let pages = root.join("docs/man");
    for entry in fs::read_dir(&pages).at(pages.display())? {
        let path = entry.at(pages.display())?.path();
        let section = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        if section.len() == 1 && section.starts_with(|c: char| c.is_ascii_digit()) {
            made.pages.push(path);
        }
    }
    made.pages.sort();
    Ok(made)
}

/// A folder laid out as Debian's tools expect a source package.
struct Work<'a> {
    root: &'a Path,
    folder: &'a Path,
    time: SystemTime,
    third_party: PathBuf,
}

impl<'a> Work<'a> {
    fn new(root: &'a Path, folder: &'a Path) -> Result<Self, Failure> {
        let debian = folder.join("debian");
        fs::create_dir_all(&debian).at(debian.display())?;
        for name in ["control", "changelog"] {
            fs::copy(root.join("packaging/debian").join(name), debian.join(name)).at(name)?;
        }
        let own = env!("CARGO_PKG_VERSION");
        let said = tool(Command::new("dpkg-parsechangelog").args(["-S", "Version"]).current_dir(folder))?;
        if said.trim().rsplit_once('-').map(|(upstream, _)| upstream) != Some(own) {
            return Err(Failure::Refused(format!(
                "packaging/debian/changelog begins with version {}, but this is Parsec {own}",
                said.trim()
            )));
        }
        let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(seconds) => seconds,
            Err(_) => {
                tool(Command::new("dpkg-parsechangelog").args(["-S", "Timestamp"]).current_dir(folder))?
            }
        };
        let seconds = seconds
            .trim()
            .parse()
            .map_err(|_| Failure::Refused(format!("SOURCE_DATE_EPOCH is no time: {seconds:?}")))?;
        let third_party = folder.join("third-party");
        fs::write(&third_party, third_party::list(root)?).at(third_party.display())?;
        Ok(Self { root, folder, time: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), third_party })
    }

    fn package(
        &self,
        package: &Package,
        binaries: &Path,
        made: &Made,
        profile: Profile,
        output: &Path,
    ) -> Result<PathBuf, Failure> {
        let name = package.name;
        let stage = self.folder.join(name);
        let control = stage.join("DEBIAN");
        folder(&control)?;
        let mut programs = Vec::new();
        for program in package.programs {
            let to = stage.join("usr/bin").join(program);
            folder_of(&to)?;
            let mut strip = Command::new("strip");
            strip.args(["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", "-o"]);
            tool(strip.arg(&to).arg(binaries.join(program)))?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).at(to.display())?;
            programs.push(to);
        }
        let mut placed = package.placed(self.root, made).at(name)?;
        if !programs.is_empty() {
            placed.push(contents::Placed {
                from: self.third_party.clone(),
                to: format!("usr/share/doc/{name}/third-party.gz"),
                how: How::Compressed,
            });
        }
        for file in &placed {
            put(&file.from, &stage.join(&file.to), file.how)?;
        }
        for script in SCRIPTS {
            let from = self.root.join(format!("packaging/debian/{name}.{script}"));
            if from.exists() {
                put(&from, &control.join(script), How::Program)?;
            }
        }
        let configuration: String = placed
            .iter()
            .filter(|file| file.to.starts_with("etc/"))
            .map(|file| format!("/{}\n", file.to))
            .collect();
        if !configuration.is_empty() {
            write(&control.join("conffiles"), configuration.as_bytes())?;
        }
        self.sums(&stage, &control.join("md5sums"))?;
        self.control(package, &programs, &stage)?;
        self.settle(&stage)?;

        let mut pack = Command::new("dpkg-deb");
        pack.arg("--root-owner-group");
        if profile == Profile::Dev {
            // xz takes five seconds a program.
            pack.args(["-Zgzip", "-z1"]);
        }
        pack.arg("--build").arg(&stage).arg(output);
        pack.env("SOURCE_DATE_EPOCH", self.seconds().to_string());
        let said = tool(&mut pack)?;
        // "dpkg-deb: building package 'parsec' in '/…/parsec_0.1.0-1_amd64.deb'."
        let path = said.split('\'').find(|word| word.ends_with(".deb"));
        path.map(PathBuf::from)
            .ok_or_else(|| Failure::Refused(format!("dpkg-deb doesn't say what it made: {said}")))
    }

    /// The control file, by Debian's tools: what the programs need is read from the programs.
    fn control(&self, package: &Package, programs: &[PathBuf], stage: &Path) -> Result<(), Failure> {
        let variables = format!("debian/{}.substvars", package.name);
        if programs.is_empty() {
            write(&self.folder.join(&variables), b"misc:Depends=\n")?;
        } else {
            let mut needs = Command::new("dpkg-shlibdeps");
            needs.arg(format!("-T{variables}"));
            needs.args(programs.iter().map(|path| format!("-e{}", path.display())));
            tool(needs.current_dir(self.folder))?;
        }
        let to = stage.join("DEBIAN/control");
        let mut generate = Command::new("dpkg-gencontrol");
        generate.arg(format!("-p{}", package.name)).arg(format!("-P{}", stage.display()));
        generate.arg(format!("-T{variables}")).arg(format!("-O{}", to.display()));
        tool(generate.current_dir(self.folder))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o644)).at(to.display())
    }

    /// The sums by which `dpkg --verify` finds a changed file; configuration may be changed and is
    /// left out.
    fn sums(&self, stage: &Path, to: &Path) -> Result<(), Failure> {
        let names: Vec<String> = tree(stage)?
            .iter()
            .filter(|path| path.is_file())
            .filter_map(|path| path.strip_prefix(stage).ok())
            .map(|path| path.display().to_string())
            .filter(|name| !name.starts_with("DEBIAN/") && !name.starts_with("etc/"))
            .collect();
        let sums = tool(Command::new("md5sum").arg("--").args(&names).current_dir(stage))?;
        write(to, sums.as_bytes())
    }

    fn seconds(&self) -> u64 {
        self.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Sets the time of everything; a folder after what is in it.
    fn settle(&self, stage: &Path) -> Result<(), Failure> {
        for path in tree(stage)?.iter().rev() {
            if path.is_dir() {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).at(path.display())?;
            }
            File::open(path).and_then(|file| file.set_modified(self.time)).at(path.display())?;
        }
        Ok(())
    }
}

/// Everything below a folder and the folder itself, folders before what is in them, in the order of
/// their names.
fn tree(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = vec![folder.to_path_buf()];
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).at(folder.display())? {
        entries.push(entry.at(folder.display())?.path());
    }
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            found.extend(tree(&entry)?);
        } else {
            found.push(entry);
        }
    }
    Ok(found)
}

fn put(from: &Path, to: &Path, how: How) -> Result<(), Failure> {
    folder_of(to)?;
    let bytes = match how {
        How::Plain | How::Program => fs::read(from).at(from.display())?,
        How::Compressed => {
            let said = Command::new("gzip").args(["-9nc", "--"]).arg(from).output().at("gzip")?;
            if !said.status.success() {
                return Err(failed("gzip", &said));
            }
            said.stdout
        }
    };
    write(to, &bytes)?;
    let mode = if how == How::Program { 0o755 } else { 0o644 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).at(to.display())
}

fn write(to: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = File::create(to).at(to.display())?;
    file.write_all(bytes).at(to.display())?;
    file.set_permissions(fs::Permissions::from_mode(0o644)).at(to.display())
}

fn folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).at(path.display())
}

fn folder_of(path: &Path) -> Result<(), Failure> {
    path.parent().map_or(Ok(()), folder)
}

/// Runs a tool to its end; returns what it wrote.
fn tool(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    // Debian's tools speak the language of the person otherwise, and their output is read here.
    let said = command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output().at(&name)?;
    if said.status.success() {
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    } else {
        Err(failed(&name, &said))
    }
}

fn failed(what: &str, said: &std::process::Output) -> Failure {
    Failure::Tool { what: what.to_owned(), said: String::from_utf8_lossy(&said.stderr).into_owned() }
}
