"""Uses the API as scripts with the Python client do; ends with an error where an answer is not as expected."""
import sys
import threading

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
api = client.ApiClient()
core, apps, batch = client.CoreV1Api(), client.AppsV1Api(), client.BatchV1Api()
NAMESPACE = "python"


def expect(what, got, want):
    """Ends the script when a value is not what it should be."""
    if got != want:
        sys.exit(f"{what} is {got!r}, want {want!r}")


def refused(what, status, reason, call, *args, **kwargs):
    """Ends the script unless the server refuses a call."""
    try:
        call(*args, **kwargs)
    except ApiException as e:
        expect(what, (e.status, yaml.safe_load(e.body)["reason"]), (status, reason))
        return
    sys.exit(f"{what} was accepted")


def objects():
    """Creates, reads, patches, replaces and deletes, while a watch sees it."""
    seen = []

    def follow(version):
        for e in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, label_selector="app=demo",
                                      resource_version=version, timeout_seconds=120):
            seen.append((e["type"], e["object"].data["k"]))
            if e["type"] == "DELETED":
                return

    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    watcher = threading.Thread(target=follow, args=(version,))
    watcher.start()
    demo = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="demo", labels={"app": "demo"}), data={"k": "1"})
    made = core.create_namespaced_config_map(NAMESPACE, demo)
    refused("a second create", 409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, demo)
    core.patch_namespaced_config_map("demo", NAMESPACE, {"data": {"k": "2"}})
    core.patch_namespaced_config_map("demo", NAMESPACE, [{"op": "replace", "path": "/data/k", "value": "3"}])
    refused("an old version", 409, "Conflict", core.replace_namespaced_config_map, "demo", NAMESPACE, made)
    now = core.read_namespaced_config_map("demo", NAMESPACE)
    now.data["k"] = "4"
    core.replace_namespaced_config_map("demo", NAMESPACE, now)
    expect("deletion", core.delete_namespaced_config_map("demo", NAMESPACE).status, "Success")
    refused("a read after the deletion", 404, "NotFound", core.read_namespaced_config_map, "demo", NAMESPACE)
    watcher.join(120)
    expect("what the watch saw", seen, [("ADDED", "1"), ("MODIFIED", "2"), ("MODIFIED", "3"), ("MODIFIED", "4"), ("DELETED", "4")])


def workloads():
    """Creates from YAML, scales, pages through a list, and applies on the server with the dynamic client."""
    web = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}
""")
    utils.create_from_dict(api, web, namespace=NAMESPACE)
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 5}})
    expect("the scale", apps.read_namespaced_deployment_scale("web", NAMESPACE).spec.replicas, 5)
    for e in watch.Watch().stream(apps.list_namespaced_replica_set, NAMESPACE, timeout_seconds=120):
        if e["object"].status.replicas == 5:
            break
    else:
        sys.exit("the deployment has no five pods")
    names, token = set(), None
    while token != "":
        page = core.list_namespaced_pod(NAMESPACE, limit=2, _continue=token)
        names.update(p.metadata.name for p in page.items)
        token = page.metadata._continue or ""
    expect("the pods of all pages", len(names), 5)

    deployments = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:1.9.14"
    del web["spec"]["replicas"]
    done = deployments.patch(body=yaml.dump(web), name="web", namespace=NAMESPACE, content_type="application/apply-patch+yaml",
                             query_params=[("fieldManager", "script"), ("force", "true")])
    expect("the replicas after the apply", done.spec.replicas, 5)
    expect("the image after the apply", done.spec.template.spec.containers[0].image, "nginx:1.9.14")


def every_kind():
    """Lists the kinds that the client knows: its models refuse an answer without a required field (for events.k8s.io the
    eventTime of what core/v1 made, which is null there as everywhere)."""
    n = 0
    for version in (core, apps, batch, client.AutoscalingV1Api(), client.CertificatesV1Api(), client.CoordinationV1Api(),
                    client.DiscoveryV1Api(), client.NetworkingV1Api(), client.NodeV1Api(), client.PolicyV1Api(),
                    client.RbacAuthorizationV1Api(), client.SchedulingV1Api()):
        for name in dir(version):
            if name.startswith("list_") and not name.endswith("_with_http_info") and not name.startswith("list_namespaced"):
                getattr(version, name)()
                n += 1
    client.StorageV1Api().list_storage_class()
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="delete", resource="nodes")))
    expect("the owner's right", client.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed, True)
    expect("the version", client.VersionApi().get_code().git_version[:5], "v1.36")
    print(n, "kinds listed")


objects()
workloads()
every_kind()
