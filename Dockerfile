# The gear's image. The dependencies are installed in a stage of their own, so that nothing that is only
# needed to install them is in the image.

FROM python:3.13-slim-bookworm AS dependencies

COPY requirements.txt /tmp/requirements.txt
# Hashes for every file, wheels only: no code of a package runs here. Nothing is installed that the lock
# leaves out (see the Makefile). Bytecode is made now, since the gear's user can't write it; "unchecked",
# since nothing changes in an image. The libraries' own tests stay out.
RUN pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
        --require-hashes --no-deps --only-binary=:all: --ignore-installed --prefix=/dependencies \
        -r /tmp/requirements.txt \
    && find /dependencies -type d -name tests -prune -exec rm -rf {} + \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /dependencies/lib

FROM python:3.13-slim-bookworm

# The platform runs the gear with the bare PATH and the manifest's `environment`, not with this file's ENV:
# so the dependencies are where the system's Python finds them without being told.
COPY --from=dependencies /dependencies /usr/local

# Nothing is installed into a finished image.
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip \
    && groupadd --gid 1000 flywheel \
    && useradd --uid 1000 --gid flywheel --create-home --shell /bin/bash flywheel

WORKDIR /flywheel/v0
COPY manifest.json run.py ./
COPY fw_gear_sitewide_snapshot ./fw_gear_sitewide_snapshot
# The imports try out that all is there, and leave the bytecode of Python's own library, which the base image
# is without: 4 MiB, instead of half a second at the start of each job.
RUN python -m compileall -q --invalidation-mode unchecked-hash . \
    && python -c "import run, flywheel_gear_toolkit, jinja2, pandas" \
    && install --directory --owner=flywheel --group=flywheel input output work

USER flywheel
ENTRYPOINT ["python", "run.py"]
