"""What the benchmark stands on: real registries on tmpfs, a proxy that delays, images of random content, and a stopwatch.

Everything is on loopback and below one scratch folder; every process is ended by its pid.
"""
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 30.0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, ready):
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come up within {PATIENCE:.0f} s")
        time.sleep(0.02)


def request(host, method, path, body=None, headers=None):
    """One HTTP exchange on a connection of its own: status, headers, body."""
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class Child:
    """A server process that is killed with the context it was made in."""

    def __init__(self, argv, log, env=None):
        self.argv, self.log = argv, log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def listens(self, host, path):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.argv[0]} ended: {Path(self.log).read_text(errors='replace')[-500:]}")
        try:
            return request(host, "GET", path)[0] == 200
        except OSError:
            return False


class Registry(Child):
    """docker-registry (distribution 2.8) with its storage below `root`; with `counted` it keeps an access log."""

    def __init__(self, root, counted=False):
        self.root = Path(root)
        self.store = self.root / "store"
        self.store.mkdir(parents=True)
        self.host = f"127.0.0.1:{free_port()}"
        config = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": not counted}},
            "storage": {"filesystem": {"rootdirectory": str(self.store), "maxthreads": 100}, "delete": {"enabled": True}},
            "http": {"addr": self.host},
        }
        (self.root / "config.yml").write_text(json.dumps(config))
        super().__init__(["docker-registry", "serve", str(self.root / "config.yml")], self.root / "log")
        wait_until("docker-registry", lambda: self.listens(self.host, "/v2/"))
        self.seen = 0

    def wipe(self):
        """Forgets everything: the registry has no cache in front of its folder."""
        shutil.rmtree(self.store)
        self.store.mkdir()

    def requests(self):
        """`METHOD path` of every request since the last call."""
        lines = re.findall(rb'"([A-Z]+ /v2/\S*) HTTP/1\.[01]"', (self.root / "log").read_bytes())
        new, self.seen = lines[self.seen:], len(lines)
        return [line.decode() for line in new]

    def digest(self, repository, tag):
        """Digest of the manifest under a tag, computed here."""
        status, _, body = request(self.host, "GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": OCI_MANIFEST})
        if status != 200:
            raise SystemExit(f"{self.host}/{repository}:{tag} is not there: {status}")
        return "sha256:" + hashlib.sha256(body).hexdigest()


class Proxies(Child):
    """toxiproxy: a second address for a registry, each byte of which takes `latency` ms each way."""

    def __init__(self, root):
        self.api = f"127.0.0.1:{free_port()}"
        host, port = self.api.split(":")
        super().__init__(["toxiproxy-server", "-host", host, "-port", port], Path(root) / "toxiproxy.log")
        wait_until("toxiproxy", lambda: self.listens(self.api, "/version"))

    def in_front_of(self, name, upstream, latency):
        listen = f"127.0.0.1:{free_port()}"
        self.post("/proxies", {"name": name, "listen": listen, "upstream": upstream})
        for stream in ("upstream", "downstream"):
            self.post(f"/proxies/{name}/toxics", {"type": "latency", "stream": stream, "attributes": {"latency": latency}})
        return listen

    def post(self, path, body):
        status, _, answer = request(self.api, "POST", path, json.dumps(body))
        if status not in (200, 201):
            raise SystemExit(f"toxiproxy {path}: {status} {answer.decode()}")


OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PUSH_IMAGE = r'''
import gzip, hashlib, http.client, io, json, random, sys, tarfile
host, repository, layers, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
connection = http.client.HTTPConnection(host)
def call(method, path, body=None, headers={}):
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse(); answer.read()
    if answer.status >= 300: sys.exit(f"{method} {path}: {answer.status}")
    return answer.headers
def blob(data, media_type):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = call("POST", f"/v2/{repository}/blobs/uploads/")["Location"].split(host, 1)[1]
    call("PUT", f"{place}&digest={digest}", data, {"Content-Type": "application/octet-stream"})
    return {"mediaType": media_type, "digest": digest, "size": len(data)}
descriptors, diff_ids = [], []
for number in range(layers):
    content = random.Random(f"{repository}/{number}").randbytes(size)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo(f"file-{number}"); entry.size = size
        archive.addfile(entry, io.BytesIO(content))
    diff_ids.append("sha256:" + hashlib.sha256(tar.getvalue()).hexdigest())
    descriptors.append(blob(gzip.compress(tar.getvalue(), 1, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"))
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
config = blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": descriptors}
call("PUT", f"/v2/{repository}/manifests/1", json.dumps(manifest).encode(), {"Content-Type": manifest["mediaType"]})
'''


def push_image(host, repository, layers, size):
    """Pushes an image of gzip layers of random content, the same each time, tagged `1`; a process of its own holds the layers."""
    subprocess.run(["python3", "-c", PUSH_IMAGE, host, repository, str(layers), str(size)], check=True)


STOPWATCH = r'''
import posix, sys, time
result, argv = int(sys.argv[1]), sys.argv[2:]
posix.set_inheritable(result, False)
start = time.perf_counter()
_, status, usage = posix.wait4(posix.posix_spawn(argv[0], argv, posix.environ), 0)
wall = time.perf_counter() - start
posix.write(result, b"%f %f %f" % (wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
sys.exit(status != 0)
'''


@dataclass
class Sample:
    """One run of a command: seconds on the clock, of CPU, and the most memory it held, children included."""
    wall: float
    cpu: float
    rss: float  # MiB

    @classmethod
    def of(cls, argv, env, cwd, log):
        """Runs it under a bare interpreter: Linux counts the peak memory of the process that a child is started from as the
        child's own, so that has to be a small one (some 8 MiB, which is the least that can be seen)."""
        argv = [shutil.which(str(argv[0])), *map(str, argv[1:])]
        result, write = os.pipe()
        os.set_inheritable(write, True)
        with open(log, "wb") as out:
            child = subprocess.Popen(["python3", "-I", "-S", "-c", STOPWATCH, str(write), *argv], stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd, pass_fds=[write])
        os.close(write)
        with os.fdopen(result) as pipe:
            figures = pipe.read().split()
        if child.wait() != 0:
            raise SystemExit(f"{' '.join(argv)}: failed\n{Path(log).read_text(errors='replace')[-2000:]}")
        return cls(*map(float, figures))
