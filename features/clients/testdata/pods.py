"""Runs commands in a pod, reads and follows its log, and forwards a port, with the Python client."""
import sys

from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream

config.load_kube_config()
core = client.CoreV1Api()
pod = core.list_namespaced_pod("default", label_selector="app=pages").items[0].metadata.name


def run(command, **kwargs):
    """Executes a command in the pod."""
    return stream(core.connect_get_namespaced_pod_exec, pod, "default", command=command, stderr=True, stdout=True, **kwargs)


out = run(["sh", "-c", "echo out; echo err >&2"], stdin=False, tty=False)
if sorted(out.split()) != ["err", "out"]:
    sys.exit(f"exec printed {out!r}")

shell = run(["sh"], stdin=True, tty=False, _preload_content=False)
shell.write_stdin("echo got input; exit 3\n")
text = ""
while shell.is_open():
    shell.update(timeout=1)
    if shell.peek_stdout():
        text += shell.read_stdout()
if "got input" not in text or shell.returncode != 3:
    sys.exit(f"the shell printed {text!r} and ended with {shell.returncode}")

forward = portforward(core.connect_get_namespaced_pod_portforward, pod, "default", ports="80")
web = forward.socket(80)
web.setblocking(True)
web.sendall(b"GET /from-python HTTP/1.1\r\nHost: pages\r\nConnection: close\r\n\r\n")
answer = b""
while True:
    part = web.recv(4096)
    if not part:
        break
    answer += part
if not answer.startswith(b"HTTP/1.1 404"):
    sys.exit(f"the forwarded port answered {answer!r}")

for line in watch.Watch().stream(core.read_namespaced_pod_log, pod, "default"):
    if "/from-python" in line:
        break
if "/from-python" not in core.read_namespaced_pod_log(pod, "default", tail_lines=1000, timestamps=True):
    sys.exit("the log does not have the request")
print("exec, log and port forwarding work")
