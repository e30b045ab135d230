/**
 * Every field of kubeadm.k8s.io/v1beta4, as kubeadm's own types have them (cmd/kubeadm/app/apis/kubeadm/v1beta4/types.go), and those
 * of the kubelet's and kube-proxy's configuration that our templates use. kubeadm decodes strictly: a field it does not know ends it.
 */

/** What a value has to be: a word, a list of one, a map with any keys, or fields by name. */
export type Shape =
  | 'string'
  | 'boolean'
  | 'number'
  | 'duration'
  | 'time'
  | { readonly list: Shape }
  | { readonly map: Shape }
  | { readonly fields: Readonly<Record<string, Shape>> };

const strings: Shape = { list: 'string' };
const args: Shape = { list: { fields: { name: 'string', value: 'string' } } };
const envs: Shape = { list: { map: 'string' } };
const volumes: Shape = {
  list: {
    fields: { name: 'string', hostPath: 'string', mountPath: 'string', readOnly: 'boolean', pathType: 'string' },
  },
};
const component = { extraArgs: args, extraVolumes: volumes, extraEnvs: envs };
const patches: Shape = { fields: { directory: 'string' } };
const endpoint: Shape = { fields: { advertiseAddress: 'string', bindPort: 'number' } };
const nodeRegistration: Shape = {
  fields: {
    name: 'string',
    criSocket: 'string',
    taints: { list: { fields: { key: 'string', value: 'string', effect: 'string' } } },
    kubeletExtraArgs: args,
    ignorePreflightErrors: strings,
    imagePullPolicy: 'string',
    imagePullSerial: 'boolean',
  },
};
const timeouts: Shape = {
  fields: {
    controlPlaneComponentHealthCheck: 'duration',
    kubeletHealthCheck: 'duration',
    kubernetesAPICall: 'duration',
    etcdAPICall: 'duration',
    tlsBootstrap: 'duration',
    discovery: 'duration',
    upgradeManifests: 'duration',
  },
};
const head = { apiVersion: 'string', kind: 'string' } as const;

/** By `apiVersion kind`. */
export const configurations: Readonly<Record<string, Shape>> = {
  'kubeadm.k8s.io/v1beta4 InitConfiguration': {
    fields: {
      ...head,
      bootstrapTokens: {
        list: {
          fields: {
            token: 'string',
            description: 'string',
            ttl: 'duration',
            expires: 'time',
            usages: strings,
            groups: strings,
          },
        },
      },
      dryRun: 'boolean',
      nodeRegistration,
      localAPIEndpoint: endpoint,
      certificateKey: 'string',
      skipPhases: strings,
      patches,
      timeouts,
    },
  },
  'kubeadm.k8s.io/v1beta4 ClusterConfiguration': {
    fields: {
      ...head,
      etcd: {
        fields: {
          local: {
            fields: {
              imageRepository: 'string',
              imageTag: 'string',
              dataDir: 'string',
              extraArgs: args,
              extraEnvs: envs,
              serverCertSANs: strings,
              peerCertSANs: strings,
            },
          },
          external: { fields: { endpoints: strings, caFile: 'string', certFile: 'string', keyFile: 'string' } },
        },
      },
      networking: { fields: { serviceSubnet: 'string', podSubnet: 'string', dnsDomain: 'string' } },
      kubernetesVersion: 'string',
      controlPlaneEndpoint: 'string',
      apiServer: { fields: { ...component, certSANs: strings } },
      controllerManager: { fields: component },
      scheduler: { fields: component },
      dns: { fields: { imageRepository: 'string', imageTag: 'string', disabled: 'boolean' } },
      proxy: { fields: { disabled: 'boolean' } },
      certificatesDir: 'string',
      imageRepository: 'string',
      featureGates: { map: 'boolean' },
      clusterName: 'string',
      encryptionAlgorithm: 'string',
      certificateValidityPeriod: 'duration',
      caCertificateValidityPeriod: 'duration',
    },
  },
  'kubeadm.k8s.io/v1beta4 JoinConfiguration': {
    fields: {
      ...head,
      dryRun: 'boolean',
      nodeRegistration,
      caCertPath: 'string',
      discovery: {
        fields: {
          bootstrapToken: {
            fields: {
              token: 'string',
              apiServerEndpoint: 'string',
              caCertHashes: strings,
              unsafeSkipCAVerification: 'boolean',
            },
          },
          file: { fields: { kubeConfigPath: 'string' } },
          tlsBootstrapToken: 'string',
        },
      },
      controlPlane: { fields: { localAPIEndpoint: endpoint, certificateKey: 'string' } },
      skipPhases: strings,
      patches,
      timeouts,
    },
  },
  'kubeadm.k8s.io/v1beta4 ResetConfiguration': {
    fields: {
      ...head,
      cleanupTmpDir: 'boolean',
      certificatesDir: 'string',
      criSocket: 'string',
      dryRun: 'boolean',
      force: 'boolean',
      ignorePreflightErrors: strings,
      skipPhases: strings,
      unmountFlags: strings,
      timeouts,
    },
  },
  'kubelet.config.k8s.io/v1beta1 KubeletConfiguration': {
    fields: {
      ...head,
      address: 'string',
      readOnlyPort: 'number',
      cgroupDriver: 'string',
      containerRuntimeEndpoint: 'string',
      clusterDomain: 'string',
      clusterDNS: strings,
      resolvConf: 'string',
      rotateCertificates: 'boolean',
      serverTLSBootstrap: 'boolean',
      failSwapOn: 'boolean',
      shutdownGracePeriod: 'duration',
      shutdownGracePeriodCriticalPods: 'duration',
    },
  },
  'kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration': {
    fields: {
      ...head,
      mode: 'string',
      bindAddress: 'string',
      clusterCIDR: 'string',
      healthzBindAddress: 'string',
      metricsBindAddress: 'string',
      nodePortAddresses: strings,
    },
  },
};

const scalar: Record<string, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: (value) => Number.isInteger(value),
  // time.ParseDuration, and "0s" written as one.
  duration: (value) => typeof value === 'string' && /^(\d+h)?(\d+m)?(\d+s)?$/.test(value) && value !== '',
  time: (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
};

/** What is wrong with a value, each as `path: what`; nothing if nothing is. */
export function faults(value: unknown, shape: Shape, path = ''): string[] {
  if (typeof shape === 'string') return scalar[shape]!(value) ? [] : [`${path}: no ${shape}`];
  if ('list' in shape) {
    if (!Array.isArray(value)) return [`${path}: no list`];
    return value.flatMap((one, index) => faults(one, shape.list, `${path}[${index}]`));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${path}: no mapping`];
  return Object.entries(value).flatMap(([key, one]) => {
    const below = path === '' ? key : `${path}.${key}`;
    const wanted = 'map' in shape ? shape.map : shape.fields[key];
    return wanted === undefined ? [`${below}: unknown field`] : faults(one, wanted, below);
  });
}
