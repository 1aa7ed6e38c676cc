//! What goes where: the one list of the files of all packages.
//!
//! Decides names, places and modes. Refuses a unit in `systemd/`, or a manual page, that no package
//! takes: it would be forgotten silently.

use std::path::{Path, PathBuf};

/// How a file is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// As it is, readable by everybody.
    Plain,
    /// As it is, and executable.
    Program,
    /// Compressed, as Debian wants changelogs and manual pages.
    Compressed,
}

/// A file of the repository, or one that was made beside it, and its place in the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) from: PathBuf,
    /// Below the root of the system, without the first slash.
    pub(super) to: String,
    pub(super) how: How,
}

/// One package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: &'static str,
    /// Built programs; they go to /usr/bin. A package without any is for every architecture.
    pub(super) programs: &'static [&'static str],
    /// Files of the repository: from, to, how. A `to` that ends with a slash keeps the name.
    files: &'static [(&'static str, &'static str, How)],
    /// Manual pages whose name begins so are this package's.
    pages: &'static [&'static str],
}

const USER_UNITS: &str = "usr/lib/systemd/user/";
// Debian's linter and helpers of today know both places; before Debian 13 files of packages stay
// out of /usr/lib where /lib was usual.
const SYSTEM_UNITS: &str = "lib/systemd/system/";

/// What the plug-ins of all file managers share.
const PLUGINS: &str = "usr/share/parsec/plugins/";
const EMBLEMS: &str = "usr/share/icons/hicolor/scalable/emblems/";

/// All packages.
pub(super) const PACKAGES: &[Package] = &[
    Package {
        name: "parsec",
        programs: &["parsecd", "parsecctl"],
        files: &[
            ("systemd/parsecd.socket", USER_UNITS, How::Plain),
            ("systemd/parsecd-plugin.socket", USER_UNITS, How::Plain),
            ("systemd/parsecd.service", USER_UNITS, How::Plain),
            ("systemd/parsec-mounts.service", USER_UNITS, How::Plain),
            ("systemd/parsecd-places", "usr/lib/systemd/user-generators/", How::Program),
            ("packaging/claim/claim-link", "usr/libexec/parsec/", How::Program),
            ("packaging/claim/parsec-claim.desktop", "usr/share/applications/", How::Plain),
            ("docs/walkthrough.md", "usr/share/doc/parsec/", How::Plain),
            ("docs/security.md", "usr/share/doc/parsec/", How::Plain),
            ("docs/known-limits.md", "usr/share/doc/parsec/", How::Plain),
            ("docs/mount.md", "usr/share/doc/parsec/", How::Plain),
            ("docs/local-api.md", "usr/share/doc/parsec/", How::Plain),
            ("docs/openrpc.json", "usr/share/doc/parsec/", How::Plain),
        ],
        pages: &["parsecd", "parsecctl"],
    },
    Package {
        name: "parsec-metadata",
        programs: &["parsec-metadata"],
        files: &[
            ("systemd/parsec-metadata.service", SYSTEM_UNITS, How::Plain),
            ("systemd/parsec-metadata.sysusers.conf", "usr/lib/sysusers.d/parsec-metadata.conf", How::Plain),
            ("packaging/etc/metadata.toml", "etc/parsec/", How::Plain),
            ("docs/server.md", "usr/share/doc/parsec-metadata/", How::Plain),
        ],
        pages: &["parsec-metadata"],
    },
    Package {
        name: "parsec-file-manager",
        programs: &[],
        files: &[
            ("plugins/parsec_fm.py", PLUGINS, How::Plain),
            ("plugins/parsec_gi.py", PLUGINS, How::Plain),
            ("plugins/parsec-show", "usr/libexec/parsec/", How::Program),
            ("docs/desktop.md", "usr/share/doc/parsec-file-manager/", How::Plain),
            ("plugins/icons/emblem-parsec-conflict.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-locked.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-online-only.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-pending.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-pinned.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-read-only.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-saved.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-synced.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-syncing.svg", EMBLEMS, How::Plain),
            ("plugins/icons/emblem-parsec-untrusted.svg", EMBLEMS, How::Plain),
        ],
        pages: &[],
    },
    Package {
        name: "parsec-nautilus",
        programs: &[],
        files: &[(
            "plugins/nautilus/parsec_nautilus.py",
            "usr/share/nautilus-python/extensions/",
            How::Plain,
        )],
        pages: &[],
    },
    Package {
        name: "parsec-nemo",
        programs: &[],
        files: &[("plugins/nemo/parsec_nemo.py", "usr/share/nemo-python/extensions/", How::Plain)],
        pages: &[],
    },
    Package {
        name: "parsec-caja",
        programs: &[],
        files: &[("plugins/caja/parsec_caja.py", "usr/share/caja-python/extensions/", How::Plain)],
        pages: &[],
    },
];

/// Maintainer scripts; a package has those that are there.
pub(super) const SCRIPTS: &[&str] = &["preinst", "postinst", "prerm", "postrm"];

impl Package {
    /// Every file of the package but its programs. `made` holds the manual pages and completions
    /// the programs wrote themselves.
    pub(super) fn placed(&self, root: &Path, made: &Made) -> std::io::Result<Vec<Placed>> {
        let mut placed: Vec<Placed> =
            self.files.iter().map(|&(from, to, how)| place(root.join(from), to, how)).collect();
        let name = self.name;
        let doc = format!("usr/share/doc/{name}");
        placed.push(place(root.join("packaging/debian/copyright"), &format!("{doc}/"), How::Plain));
        placed.push(place(root.join("CHANGELOG.md"), &format!("{doc}/changelog"), How::Compressed));
        placed.push(place(
            root.join("packaging/debian/changelog"),
            &format!("{doc}/changelog.Debian"),
            How::Compressed,
        ));
        let overrides = root.join(format!("packaging/debian/{name}.lintian-overrides"));
        if overrides.exists() {
            placed.push(place(overrides, &format!("usr/share/lintian/overrides/{name}"), How::Plain));
        }
        for page in &made.pages {
            let file = file_name(page);
            if owner(&file) == Some(name) {
                let section = file.rsplit('.').next().unwrap_or_default();
                placed.push(place(
                    page.clone(),
                    &format!("usr/share/man/man{section}/{file}"),
                    How::Compressed,
                ));
            }
        }
        if self.programs.contains(&"parsecctl") {
            placed.extend(made.completions.iter().map(|(from, to)| place(from.clone(), to, How::Plain)));
        }
        Ok(placed)
    }
}

/// What the programs write about themselves.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Manual pages, `NAME.SECTION`.
    pub(super) pages: Vec<PathBuf>,
    /// Completions and where they go.
    pub(super) completions: Vec<(PathBuf, &'static str)>,
}

/// Where each shell looks for the completion of parsecctl.
pub(super) const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/parsecctl"),
    ("zsh", "usr/share/zsh/vendor-completions/_parsecctl"),
    ("fish", "usr/share/fish/vendor_completions.d/parsecctl.fish"),
];

/// Units and manual pages that no package takes.
pub(super) fn forgotten(root: &Path, made: &Made) -> std::io::Result<Vec<String>> {
    let taken = |path: &Path| {
        PACKAGES.iter().any(|package| package.files.iter().any(|(from, ..)| root.join(from) == *path))
    };
    let mut forgotten = Vec::new();
    for entry in std::fs::read_dir(root.join("systemd"))? {
        let path = entry?.path();
        let unit = path.is_file() && path.extension().is_none_or(|kind| kind != "md");
        if unit && !taken(&path) {
            forgotten.push(path.display().to_string());
        }
    }
    let pages = made.pages.iter().filter(|page| owner(&file_name(page)).is_none());
    forgotten.extend(pages.map(|page| page.display().to_string()));
    forgotten.sort();
    Ok(forgotten)
}

/// The package a manual page belongs to: the longest beginning decides.
fn owner(page: &str) -> Option<&'static str> {
    PACKAGES
        .iter()
        .flat_map(|package| package.pages.iter().map(move |start| (package.name, *start)))
        .filter(|(_, start)| {
            // `parsecd.1`, `parsecd.toml.5` and `parsecctl-claim.1`, but not `parsecdx.1`.
            page.strip_prefix(start).is_some_and(|rest| rest.starts_with(['.', '-']))
        })
        .max_by_key(|(_, start)| start.len())
        .map(|(name, _)| name)
}

fn place(from: PathBuf, to: &str, how: How) -> Placed {
    let to = if to.ends_with('/') { format!("{to}{}", file_name(&from)) } else { to.to_owned() };
    let to = if how == How::Compressed { format!("{to}.gz") } else { to };
    Placed { from, to, how }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn every_file_that_is_listed_is_there() {
        for package in PACKAGES {
            for placed in package.placed(root(), &Made::default()).unwrap() {
                assert!(placed.from.is_file(), "{} has no {}", package.name, placed.from.display());
                assert!(!placed.to.starts_with('/'), "{placed:?}");
            }
        }
    }

    #[test]
    fn no_unit_is_forgotten_and_a_stray_page_is_found() {
        assert_eq!(forgotten(root(), &Made::default()).unwrap(), Vec::<String>::new());
        let made = Made { pages: vec!["/x/other.1".into(), "/x/parsecd.1".into()], ..Made::default() };
        assert_eq!(forgotten(root(), &made).unwrap(), ["/x/other.1"]);
    }

    #[test]
    fn no_emblem_or_plug_in_is_forgotten() {
        for (folder, kind) in [("plugins", "py"), ("plugins/icons", "svg")] {
            for entry in std::fs::read_dir(root().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let taken = |(from, ..): &(&str, &str, How)| root().join(from) == path;
                let is_packed = PACKAGES.iter().any(|package| package.files.iter().any(taken));
                assert!(is_packed || path.extension().is_none_or(|end| end != kind), "{}", path.display());
            }
        }
    }

    #[test]
    fn pages_go_to_the_package_of_their_program() {
        for (page, package) in [
            ("parsecd.1", Some("parsec")),
            ("parsecd.toml.5", Some("parsec")),
            ("parsecctl-claim.1", Some("parsec")),
            ("parsec-metadata.1", Some("parsec-metadata")),
            ("parsec-metadata-serve.1", Some("parsec-metadata")),
            ("parsecdx.1", None),
        ] {
            assert_eq!(owner(page), package, "{page}");
        }
    }
}
